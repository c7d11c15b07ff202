// One rank's part of some vectors in a file, with proof that it is what was written.
#pragma once

#include <petscvec.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace espalier::checkpoint {

/// What the writer of a file remembers of it.
struct Seal {
  /// The file's first 48 bytes: magic number, slot, rank, number of vectors, bytes that follow, checksum of these.
  std::array<std::uint64_t, 6> header{};
  std::vector<PetscInt> lengths;  ///< local, of each vector
};

/// Bytes of the file with this rank's part of the vectors. Not collective.
double file_bytes(const std::vector<Vec>& vectors);

/// Writes this rank's part of the vectors to the file `part` and then renames it to `path`. `slot` and `rank` are noted
/// in the file. Throws UserError, with the system's reason, if the disk is full or fails; the part may then be left.
/// Not collective.
///
/// The file is in PETSc's byte order, the vectors as VecView() writes sequential ones: after the header VecLoad() reads
/// it. PetscBinaryWrite() is not used: it swaps the bytes of the vector in place and leaves them so when the disk is
/// full, and writes the same block for ever when errno is EINTR from before. Here bytes are swapped on their way
/// through a buffer of 256 kB.
///
/// Milliseconds of a processor at 2.8 GHz for 64 MB in the page cache of ext4 (tmpfs): written in 35 (38), read in 26
/// (30), with the checksum; PetscBinaryWrite() 33 (39), PetscBinaryRead() 18 (22), without one; write() 17 (24), read()
/// 11 (15).
Seal write_vectors(const std::string& part, const std::string& path, long slot, int rank,
                   const std::vector<Vec>& vectors);

/// Reads a file of that seal into vectors of the same local lengths, bit by bit. Throws UserError if the file is
/// missing or its size, header or checksum are not those of what was written, InternalError if the vectors do not fit.
/// Their entries are undefined then. Not collective.
void read_vectors(const std::string& path, const Seal& seal, const std::vector<Vec>& vectors);

}  // namespace espalier::checkpoint
