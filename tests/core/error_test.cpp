#include "espalier/core/error.hpp"

#include <petscts.h>
#include <torch/types.h>

#include <boost/test/unit_test.hpp>
#include <functional>

#include "core/messages.hpp"
#include "espalier/petsc/handle.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using testing::mentions;

namespace {

/// A user's error with something to recognise it by.
class Marked : public UserError {
 public:
  Marked(const std::string& what, int mark) : UserError(what, __FILE__, __LINE__), mark_(mark) {}
  int mark() const { return mark_; }

 private:
  int mark_;
};

using Body = std::function<void()>;

void call_guarded(const Body& body) { ESPALIER_CALL(guard(body)); }

petsc::VecHandle vector_of(PetscInt size) {
  petsc::VecHandle vec;
  ESPALIER_CALL(VecCreateSeq(PETSC_COMM_SELF, size, vec.out()));
  ESPALIER_CALL(VecSet(vec.get(), 1.0));
  return vec;
}

/// A MATSHELL [2 x 2] whose product runs `body`.
class Shell {
 public:
  explicit Shell(Body product_body) : body_(std::move(product_body)) {
    ESPALIER_CALL(MatCreateShell(PETSC_COMM_SELF, 2, 2, 2, 2, &body_, mat_.out()));
    using Product = PetscErrorCode (*)(Mat, Vec, Vec);
    const Product product = [](Mat mat, Vec, Vec y) noexcept {
      return guard([&] {
        Body* body = nullptr;
        ESPALIER_CALL(MatShellGetContext(mat, &body));
        (*body)();
        ESPALIER_CALL(VecSet(y, 3.0));
      });
    };
    ESPALIER_CALL(MatShellSetOperation(mat_.get(), MATOP_MULT, reinterpret_cast<void (*)()>(product)));
  }
  PetscErrorCode code() {
    const auto x = vector_of(2);
    const auto y = vector_of(2);
    return MatMult(mat_.get(), x.get(), y.get());
  }
  void multiply() { ESPALIER_CALL(code()); }
  Mat mat() const { return mat_.get(); }

 private:
  Body body_;
  petsc::MatHandle mat_;
};

void size_mismatch() {
  const auto x = vector_of(2);
  const auto y = vector_of(3);
  ESPALIER_CALL(VecCopy(x.get(), y.get()));
}

// What PETSc hears of a failure.
struct Heard {
  int initial = 0;
  std::string text;
};

PetscErrorCode listen(MPI_Comm, int, const char*, const char*, PetscErrorCode code, PetscErrorType type,
                      const char* message, void* context) {
  auto& heard = *static_cast<Heard*>(context);
  if (type == PETSC_ERROR_INITIAL) {
    ++heard.initial;
    heard.text += message;
  }
  return code;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(core_error, *boost::unit_test::label("unit"))

BOOST_AUTO_TEST_CASE(a_body_that_succeeds_gives_success) {
  bool ran = false;
  BOOST_TEST((guard([&] { ran = true; }) == PETSC_SUCCESS));
  BOOST_TEST(ran);
}

BOOST_AUTO_TEST_CASE(every_exception_becomes_a_code_and_comes_back) {
  BOOST_CHECK_EXCEPTION(call_guarded([] { throw Marked("mind the step", 7); }), Marked, [](const Marked& error) {
    return std::string(error.what()) == "mind the step" && error.mark() == 7;
  });
  BOOST_CHECK_EXCEPTION(call_guarded([] { throw std::runtime_error("plain"); }), std::runtime_error, mentions("plain"));
  BOOST_CHECK_EXCEPTION(call_guarded([] { TORCH_CHECK(false, "from torch"); }), c10::Error, mentions("from torch"));
  BOOST_CHECK_EXCEPTION(call_guarded([] { throw 42; }), int, [](int value) { return value == 42; });
  call_guarded([] {});
}

BOOST_AUTO_TEST_CASE(the_same_object_comes_back_through_matrix_products) {
  const std::exception* thrown = nullptr;
  Shell shell([&] {
    try {
      throw Marked("inside a product", 3);
    } catch (const std::exception& error) {
      thrown = &error;
      throw;
    }
  });
  BOOST_CHECK_EXCEPTION(shell.multiply(), Marked,
                        [&](const Marked& error) { return &error == thrown && error.mark() == 3; });
}

BOOST_AUTO_TEST_CASE(exceptions_come_through_a_krylov_solve) {
  Shell shell([] { throw NumericalError("no product", __FILE__, __LINE__); });
  petsc::KspHandle ksp;
  ESPALIER_CALL(KSPCreate(PETSC_COMM_SELF, ksp.out()));
  ESPALIER_CALL(KSPSetOperators(ksp.get(), shell.mat(), shell.mat()));
  PC pc = nullptr;
  ESPALIER_CALL(KSPGetPC(ksp.get(), &pc));
  ESPALIER_CALL(PCSetType(pc, PCNONE));
  const auto b = vector_of(2);
  const auto x = vector_of(2);
  BOOST_CHECK_EXCEPTION(ESPALIER_CALL(KSPSolve(ksp.get(), b.get(), x.get())), NumericalError, mentions("no product"));
}

BOOST_AUTO_TEST_CASE(exceptions_come_through_newton) {
  petsc::Handle<SNES, SNESDestroy> snes;
  ESPALIER_CALL(SNESCreate(PETSC_COMM_SELF, snes.out()));
  const auto x = vector_of(2);
  const auto f = vector_of(2);
  ESPALIER_CALL(SNESSetFunction(
      snes.get(), f.get(),
      [](SNES, Vec, Vec, void*) noexcept { return guard([] { throw std::out_of_range("no residual"); }); }, nullptr));
  BOOST_CHECK_EXCEPTION(ESPALIER_CALL(SNESSolve(snes.get(), nullptr, x.get())), std::out_of_range,
                        mentions("no residual"));
}

BOOST_AUTO_TEST_CASE(exceptions_come_through_time_integration) {
  petsc::TsHandle ts;
  ESPALIER_CALL(TSCreate(PETSC_COMM_SELF, ts.out()));
  ESPALIER_CALL(TSSetType(ts.get(), TSRK));
  int calls = 0;
  ESPALIER_CALL(TSSetRHSFunction(
      ts.get(), nullptr,
      [](TS, PetscReal, Vec, Vec f, void* context) noexcept {
        return guard([&] {
          if (++*static_cast<int*>(context) == 3) throw Marked("the third stage", 9);
          ESPALIER_CALL(VecSet(f, 0.0));
        });
      },
      &calls));
  ESPALIER_CALL(TSSetTimeStep(ts.get(), 0.1));
  ESPALIER_CALL(TSSetMaxTime(ts.get(), 1.0));
  const auto u = vector_of(2);
  BOOST_CHECK_EXCEPTION(ESPALIER_CALL(TSSolve(ts.get(), u.get())), Marked,
                        [](const Marked& error) { return error.mark() == 9; });
}

BOOST_AUTO_TEST_CASE(exceptions_come_through_nested_callbacks) {
  Shell inner([] { throw Marked("innermost", 1); });
  Shell outer([&] { inner.multiply(); });
  BOOST_CHECK_EXCEPTION(outer.multiply(), Marked, mentions("innermost"));

  Shell translates([&] {
    try {
      inner.multiply();
    } catch (const Marked&) {
      throw NumericalError("translated", __FILE__, __LINE__);
    }
  });
  BOOST_CHECK_EXCEPTION(translates.multiply(), NumericalError, mentions("translated"));

  Shell recovers([&] { BOOST_CHECK_THROW(inner.multiply(), Marked); });
  recovers.multiply();
  BOOST_CHECK_EXCEPTION(size_mismatch(), PetscFailure, mentions("VecCopy failed"));
}

BOOST_AUTO_TEST_CASE(failures_of_petsc_carry_its_words_and_code) {
  try {
    size_mismatch();
    BOOST_ERROR("vectors of different lengths were copied");
  } catch (const PetscFailure& failure) {
    const std::string text = failure.what();
    BOOST_TEST(text.find("VecCopy failed: ") == 0U);
    BOOST_TEST(text.find("PETSc error " + std::to_string(static_cast<int>(failure.code()))) != std::string::npos);
    BOOST_TEST((failure.code() == PETSC_ERR_ARG_INCOMP || failure.code() == PETSC_ERR_ARG_SIZ));
    BOOST_TEST(failure.where().find("error_test.cpp:") == 0U);
  }
  // Inside a callback too, and from there on outwards.
  Shell shell(size_mismatch);
  BOOST_CHECK_EXCEPTION(shell.multiply(), PetscFailure, mentions("VecCopy failed: "));
}

BOOST_AUTO_TEST_CASE(the_call_after_a_failure_is_clean) {
  Shell bad([] { throw Marked("once", 1); });
  BOOST_CHECK_THROW(bad.multiply(), Marked);
  Shell good([] {});
  good.multiply();
  BOOST_CHECK_EXCEPTION(size_mismatch(), PetscFailure, mentions("VecCopy failed"));
  BOOST_CHECK_EXCEPTION(ESPALIER_CALL(PETSC_ERR_ARG_WRONG), PetscFailure, [](const Error& error) {
    return std::string(error.what()).find("VecCopy") == std::string::npos;
  });
  good.multiply();
}

// Plain PETSc code may look at the code only, and go on.
BOOST_AUTO_TEST_CASE(a_failure_that_was_ignored_is_not_reported_later) {
  Shell bad([] { throw Marked("ignored", 1); });
  BOOST_TEST((bad.code() != PETSC_SUCCESS));
  BOOST_CHECK_EXCEPTION(size_mismatch(), PetscFailure, mentions("VecCopy failed"));

  BOOST_TEST((bad.code() != PETSC_SUCCESS));
  Shell other([] { throw Marked("reported", 2); });
  BOOST_CHECK_EXCEPTION(other.multiply(), Marked, [](const Marked& error) { return error.mark() == 2; });

  // PETSc uses the code of callbacks for failures of its own as well.
  BOOST_TEST((bad.code() != PETSC_SUCCESS));
  BOOST_CHECK_EXCEPTION(ESPALIER_CALL(PetscError(PETSC_COMM_SELF, __LINE__, "f", __FILE__, PETSC_ERR_USER,
                                                 PETSC_ERROR_INITIAL, "call it %s", "earlier")),
                        PetscFailure, mentions("call it earlier"));

  const auto x = vector_of(2);
  const auto y = vector_of(3);
  BOOST_TEST((VecCopy(x.get(), y.get()) != PETSC_SUCCESS));
  BOOST_CHECK_EXCEPTION(ESPALIER_CALL(PETSC_ERR_SUP), PetscFailure, [](const Error& error) {
    return std::string(error.what()).find("PETSc error " + std::to_string(static_cast<int>(PETSC_ERR_SUP))) !=
           std::string::npos;
  });
}

// Who calls TSSolve from C has PETSc's error trace only: the text must be in it, once.
BOOST_AUTO_TEST_CASE(petsc_error_handlers_hear_the_text) {
  Shell inner([] { throw Marked("what to change", 1); });
  Shell outer([&] { inner.multiply(); });
  Heard heard;
  ESPALIER_CALL(PetscPushErrorHandler(listen, &heard));
  const PetscErrorCode code = outer.code();
  ESPALIER_CALL(PetscPopErrorHandler());
  BOOST_TEST((code != PETSC_SUCCESS));
  BOOST_TEST(heard.initial == 1);
  BOOST_TEST(heard.text.find("what to change (error_test.cpp:") == 0U);
  BOOST_CHECK_THROW(ESPALIER_CALL(code), Marked);
}

BOOST_AUTO_TEST_CASE(checks_of_both_sides_say_what_they_are) {
  const auto required = [](bool condition) { ESPALIER_REQUIRE(condition, std::string("give ") + "more"); };
  const auto asserted = [](bool condition) { ESPALIER_ASSERT(condition, "we broke it"); };
  required(true);
  asserted(true);
  BOOST_CHECK_EXCEPTION(required(false), UserError, mentions("give more"));
  BOOST_CHECK_EXCEPTION(asserted(false), InternalError, mentions("internal error: we broke it"));
  try {
    required(false);
  } catch (const Error& error) {
    BOOST_TEST(error.where().find("error_test.cpp:") == 0U);
  }
}

BOOST_AUTO_TEST_CASE(names_are_joined) {
  BOOST_TEST(core::join(std::vector<std::string>{}) == "");
  BOOST_TEST(core::join(std::vector<std::string>{"a"}) == "a");
  BOOST_TEST(core::join(std::vector<std::string>{"a", "b", "c"}) == "a, b, c");
  BOOST_TEST(core::join(std::vector<std::string>{"a", "b"}, "/") == "a/b");
}

BOOST_AUTO_TEST_SUITE_END()
