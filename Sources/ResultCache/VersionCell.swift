import Synchronization

/// One atomic word: a version that only grows (high 44 bits) and the number of writers in flight
/// (low 20 bits).
///
/// A cell is a pointer into memory that its `CellTable` never frees, so it may be read from any
/// thread without reference counting. All operations are sequentially consistent.
package struct VersionCell: Hashable, @unchecked Sendable {
    // Sendable: the pointee is atomic and immortal.
    let word: UnsafeMutablePointer<Atomic<UInt64>>

    static let writerBits: UInt64 = 20
    static let writerMask: UInt64 = (1 << writerBits) - 1
}

extension VersionCell {
    /// The whole word as it is now. Two equal words mean: same version, same number of writers.
    package var current: UInt64 {
        word.pointee.load(ordering: .sequentiallyConsistent)
    }

    /// How many writes have been committed (or settled as possibly committed) on this cell.
    package var version: UInt64 { current >> Self.writerBits }

    /// How many write windows are open on this cell.
    package var writersInFlight: UInt64 { current & Self.writerMask }

    /// Counts one more writer in flight and returns how many there are now.
    func addWriter() -> UInt64 {
        word.pointee.add(1, ordering: .sequentiallyConsistent).newValue & Self.writerMask
    }

    /// One writer fewer, the version unchanged: nothing became visible.
    func removeWriter() {
        word.pointee.subtract(1, ordering: .sequentiallyConsistent)
    }

    /// One writer fewer and the next version, in one step: there is no instant at which the cell
    /// shows the old version without a writer.
    func removeWriterAndAdvance() {
        word.pointee.add((1 << Self.writerBits) - 1, ordering: .sequentiallyConsistent)
    }
}
