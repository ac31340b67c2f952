import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Version cells without names: one for each of a fixed number of hashes.
///
/// Eight bytes each and not a cache line, because neighbours are strangers: that two busy keys
/// share a line is as rare as it is harmless. Never freed, as all cells (see `CellTable`).
final class KeyCellTable: Sendable {
    private let size: Int
    /// The address of the first cell; 0 until one is asked for.
    private let address = Atomic<UInt>(0)

    /// - Parameter size: rounded up to a power of two.
    init(size: Int) {
        var rounded = 1
        while rounded < size { rounded *= 2 }
        self.size = rounded
    }

    /// The cell of `hash`. From any thread; without a lock.
    subscript(hash: Int) -> VersionCell {
        let known = UnsafeMutableRawPointer(bitPattern: address.load(ordering: .acquiring))
        let words = (known ?? allocate()).assumingMemoryBound(to: Atomic<UInt64>.self)
        return VersionCell(word: words + (hash & (size - 1)))
    }

    /// The place of `cell` in the table; nil where it is none of its cells.
    func place(of cell: VersionCell) -> Int? {
        let first = address.load(ordering: .acquiring)
        let word = UInt(bitPattern: cell.word)
        guard first != 0, word >= first else { return nil }
        let place = Int((word - first) / UInt(MemoryLayout<Atomic<UInt64>>.stride))
        return place < size ? place : nil
    }

    /// Zeroed memory is that many cells of version 0 without writers: an atomic word is
    /// represented as the word. `calloc` of so much gets it from the system, page by page as it is
    /// touched.
    private func allocate() -> UnsafeMutableRawPointer {
        guard let fresh = calloc(size, MemoryLayout<Atomic<UInt64>>.stride) else {
            preconditionFailure("out of memory")
        }
        fresh.bindMemory(to: Atomic<UInt64>.self, capacity: size)
        let (_, original) = address.compareExchange(
            expected: 0, desired: UInt(bitPattern: fresh), ordering: .acquiringAndReleasing)
        guard let original = UnsafeMutableRawPointer(bitPattern: original) else { return fresh }
        free(fresh)
        return original
    }
}
