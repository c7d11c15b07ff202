#include "espalier/checkpoint/vector_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/petsc/vec_arrays.hpp"

namespace espalier::checkpoint {

namespace {

using Word = std::uint64_t;
static_assert(sizeof(PetscScalar) == sizeof(Word));

// "espckpt" and the version of the layout.
constexpr Word magic = 0x657370636b707401U;
// Positions in the header.
constexpr std::size_t content_bytes = 4;
constexpr std::size_t checksum = 5;
constexpr std::size_t header_words = 6;
constexpr std::size_t buffer_words = 32768;
constexpr std::size_t lanes = 16;
// The vector's class and length, two PetscInt.
constexpr std::size_t words_before_entries = 2 * sizeof(PetscInt) / sizeof(Word);

constexpr const char* make_room =
    "; make room there, name another folder with -checkpoint_dir, or keep fewer states on disk";
constexpr const char* other_disk =
    "; the disk is failing or somebody changes these files: name another folder with -checkpoint_dir";

// To PETSc's byte order and back. Words may lie anywhere; in blocks, so that compilers use vector instructions.
void copy_swapped(void* to, const void* from, std::size_t count) {
  constexpr std::size_t most = 64;
  std::array<Word, most> block{};
  for (std::size_t done = 0; done < count; done += most) {
    const std::size_t bytes = std::min(most, count - done) * sizeof(Word);
    std::memcpy(block.data(), static_cast<const char*>(from) + done * sizeof(Word), bytes);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (Word& word : block) word = __builtin_bswap64(word);
#endif
    std::memcpy(static_cast<char*>(to) + done * sizeof(Word), block.data(), bytes);
  }
}

/// Of words as they are in the file. One chain of mix() would take longer than the writing: word i belongs to chain
/// i mod 16, and processors work on all of them at once. mix() is a bijection, so that one changed word always shows.
class Checksum {
 public:
  /// `count` is a multiple of 16 but for the last words.
  void add(const Word* words, std::size_t count) {
    count_ += count;
    auto sums = sums_;  // in registers
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes)
      for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] = core::mix(sums[lane] ^ words[i + lane]);
    for (std::size_t lane = 0; i + lane < count; ++lane) sums[lane] = core::mix(sums[lane] ^ words[i + lane]);
    sums_ = sums;
  }
  Word result() const {
    Word sum = count_;
    for (const Word chain : sums_) sum = core::mix(sum ^ chain);
    return sum;
  }
  std::size_t count() const { return count_; }

 private:
  std::array<Word, lanes> sums_{};
  std::size_t count_ = 0;
};

/// What is said when something is wrong with a file.
struct Complaint {
  const char* verb;
  std::string path;
  const char* advice;
};

class File {
 public:
  File(const std::string& path, int flags, Complaint complaint)
      : complaint_(std::move(complaint)), descriptor_(::open(path.c_str(), flags | O_CLOEXEC, S_IRUSR | S_IWUSR)) {
    if (descriptor_ < 0) fail(std::strerror(errno));
  }
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[noreturn]] void fail(const std::string& reason) const {
    throw UserError(
        "cannot " + std::string(complaint_.verb) + " checkpoint " + complaint_.path + ": " + reason + complaint_.advice,
        __FILE__, __LINE__);
  }

  void write(const void* data, std::size_t bytes) {
    for (const char* rest = static_cast<const char*>(data); bytes > 0;) {
      const ssize_t written = ::write(descriptor_, rest, bytes);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) fail(written == 0 ? "nothing is written" : std::strerror(errno));
      rest += written;
      bytes -= static_cast<std::size_t>(written);
    }
  }
  void read(void* data, std::size_t bytes) {
    for (char* rest = static_cast<char*>(data); bytes > 0;) {
      const ssize_t got = ::read(descriptor_, rest, bytes);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) fail(got == 0 ? "it has been truncated" : std::strerror(errno));
      rest += got;
      bytes -= static_cast<std::size_t>(got);
    }
  }
  void seek(std::size_t offset) {
    if (::lseek(descriptor_, static_cast<off_t>(offset), SEEK_SET) < 0) fail(std::strerror(errno));
  }
  std::size_t size() const {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) fail(std::strerror(errno));
    return static_cast<std::size_t>(status.st_size);
  }
  /// Network file systems tell here that the disk is full.
  void close() {
    if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) fail(std::strerror(errno));
  }

 private:
  Complaint complaint_;
  int descriptor_;
};

/// Uninitialised: small vectors use a small part of it.
class Buffer {
 public:
  Word* get() { return words_.get(); }

 private:
  std::unique_ptr<Word[]> words_{new Word[buffer_words]};
};

/// What follows the header, on its way to the file.
class Writer {
 public:
  explicit Writer(File& file) : file_(file) {}

  void put(const void* words, std::size_t count) {
    for (const char* rest = static_cast<const char*>(words); count > 0;) {
      const std::size_t some = std::min(count, buffer_words - used_);
      copy_swapped(buffer_.get() + used_, rest, some);
      used_ += some;
      rest += some * sizeof(Word);
      count -= some;
      if (used_ == buffer_words) flush();
    }
  }
  void flush() {
    checksum_.add(buffer_.get(), used_);
    file_.write(buffer_.get(), used_ * sizeof(Word));
    used_ = 0;
  }
  const Checksum& checksum() const { return checksum_; }

 private:
  File& file_;
  Buffer buffer_;
  Checksum checksum_;
  std::size_t used_ = 0;
};

/// The way back. Reads ahead, `total` words in all.
class Reader {
 public:
  Reader(File& file, std::size_t total) : file_(file), ahead_(total) {}

  void take(void* words, std::size_t count) {
    for (char* rest = static_cast<char*>(words); count > 0;) {
      if (next_ == end_) fill();
      const std::size_t some = std::min(count, end_ - next_);
      copy_swapped(rest, buffer_.get() + next_, some);
      next_ += some;
      rest += some * sizeof(Word);
      count -= some;
    }
  }
  const Checksum& checksum() const { return checksum_; }

 private:
  void fill() {
    end_ = std::min(ahead_, buffer_words);
    next_ = 0;
    ahead_ -= end_;
    file_.read(buffer_.get(), end_ * sizeof(Word));
    checksum_.add(buffer_.get(), end_);
  }

  File& file_;
  Buffer buffer_;
  Checksum checksum_;
  std::size_t ahead_;  // words that are not in the buffer yet
  std::size_t next_ = 0;
  std::size_t end_ = 0;
};

std::vector<PetscInt> local_lengths(const std::vector<Vec>& vectors) {
  std::vector<PetscInt> lengths;
  for (Vec vec : vectors) {
    PetscInt length = 0;
    ESPALIER_CALL(VecGetLocalSize(vec, &length));
    lengths.push_back(length);
  }
  return lengths;
}

using BeforeEntries = std::array<Word, words_before_entries>;

// They are swapped as a whole: of two numbers in one word the first has the higher bits.
BeforeEntries before_entries(PetscInt length) {
  BeforeEntries words{};
  words.front() = static_cast<Word>(VEC_FILE_CLASSID) << (words_before_entries == 1 ? 32U : 0U);
  words.back() |= static_cast<Word>(length);
  return words;
}

}  // namespace

double file_bytes(const std::vector<Vec>& vectors) {
  std::size_t words = header_words;
  for (const PetscInt length : local_lengths(vectors)) words += words_before_entries + static_cast<std::size_t>(length);
  return static_cast<double>(words * sizeof(Word));
}

// No fsync: nobody reads the file after this process, and until then the system's cache has what the disk has not. A
// disk that loses data is found out by the checksum.
Seal write_vectors(const std::string& part, const std::string& path, long slot, int rank,
                   const std::vector<Vec>& vectors) {
  File file(part, O_WRONLY | O_CREAT | O_TRUNC, {"write", path, make_room});
  Seal seal;
  seal.lengths = local_lengths(vectors);
  // The header comes last: without it the file is worth nothing.
  file.seek(header_words * sizeof(Word));
  Writer writer(file);
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    const auto before = before_entries(seal.lengths[i]);
    writer.put(before.data(), before.size());
    writer.put(petsc::ReadArray(vectors[i]).data(), static_cast<std::size_t>(seal.lengths[i]));
  }
  writer.flush();
  const Checksum& sum = writer.checksum();
  seal.header = {magic,          static_cast<Word>(slot),    static_cast<Word>(rank),
                 vectors.size(), sum.count() * sizeof(Word), sum.result()};
  auto header = seal.header;
  copy_swapped(header.data(), seal.header.data(), header.size());
  file.seek(0);
  file.write(header.data(), sizeof header);
  file.close();
  if (std::rename(part.c_str(), path.c_str()) != 0) file.fail(std::strerror(errno));
  return seal;
}

void read_vectors(const std::string& path, const Seal& seal, const std::vector<Vec>& vectors) {
  ESPALIER_ASSERT(local_lengths(vectors) == seal.lengths, "a checkpoint is read into vectors of other sizes");
  File file(path, O_RDONLY, {"read", path, other_disk});
  const std::size_t expected = sizeof seal.header + seal.header[content_bytes];
  if (file.size() != expected)
    file.fail("it has " + std::to_string(file.size()) + " bytes, not " + std::to_string(expected));
  auto header = seal.header;
  file.read(header.data(), sizeof header);
  copy_swapped(header.data(), header.data(), header.size());
  if (header != seal.header) file.fail("its header is not what was written");
  Reader reader(file, header[content_bytes] / sizeof(Word));
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    auto before = before_entries(0);
    reader.take(before.data(), before.size());
    reader.take(petsc::WriteArray(vectors[i]).data(), static_cast<std::size_t>(seal.lengths[i]));
  }
  if (reader.checksum().result() != header[checksum]) file.fail("its contents are not what was written");
}

}  // namespace espalier::checkpoint
