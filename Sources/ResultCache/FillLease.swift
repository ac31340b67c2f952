/// The right to store one answer, valid only while the cells that it read have not moved.
///
/// Made by `CellSet.capture()`. The same lease stamps the stored entry: an entry is served only
/// while its lease would still be valid.
package struct FillLease: Hashable, Sendable {
    package let cells: CellSet
    /// The sum of the cells' words when the lease was given.
    package let sum: UInt64

    init(cells: CellSet, sum: UInt64) {
        self.cells = cells
        self.sum = sum
    }

    /// Whether no cell has moved and no writer is in flight, as of now.
    package var isValid: Bool { cells.isCurrent(sum) }
}
