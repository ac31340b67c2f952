/// The cells that a statement reads, or that a transaction may change. Never holds one twice.
package struct CellSet: Hashable, Sendable {
    /// In order of address: equal sets are equal arrays, and all windows open their cells in
    /// the same order.
    let cells: [VersionCell]

    package init(_ cells: some Sequence<VersionCell>) {
        var sorted = cells.sorted { UInt(bitPattern: $0.word) < UInt(bitPattern: $1.word) }
        var kept = 0
        for cell in sorted where kept == 0 || sorted[kept - 1] != cell {
            sorted[kept] = cell
            kept += 1
        }
        sorted.removeLast(sorted.count - kept)
        self.cells = sorted
    }

    package var isEmpty: Bool { cells.isEmpty }

    package var count: Int { cells.count }

    /// The cells of both.
    package func union(_ other: CellSet) -> CellSet {
        if other.isEmpty { return self }
        if isEmpty { return other }
        return CellSet(cells + other.cells)
    }

    /// These cells and some more.
    package func union(_ more: [VersionCell]) -> CellSet {
        more.isEmpty ? self : CellSet(cells + more)
    }

    /// The right to store what a query sent after this call answers, or nil if a writer is in
    /// flight on any of the cells.
    ///
    /// Call before the first byte is sent that can take the query's snapshot. The words are read
    /// one after the other, which is enough: what moves in between no longer has the word read
    /// here, and no word ever comes back once its version has grown.
    package func capture() -> FillLease? {
        var sum: UInt64 = 0
        for cell in cells {
            let word = cell.current
            guard word & VersionCell.writerMask == 0 else { return nil }
            sum &+= word
        }
        return FillLease(cells: self, sum: sum)
    }

    /// Whether every cell has the word that it had when `sum` was captured.
    ///
    /// `sum` is one of words without writers, and versions only grow, so no term can have become
    /// smaller than it was: equal sums mean equal words. (The sum wraps after 2^44 commits on an
    /// entry's cells, half a year at a million per second, all within the life of one entry.)
    /// Each cell had the captured word at the instant at which it was read; the earliest of these
    /// instants is one at which nothing that the answer depends on had changed.
    package func isCurrent(_ sum: UInt64) -> Bool {
        var now: UInt64 = 0
        for cell in cells { now &+= cell.current }
        return now == sum
    }
}
