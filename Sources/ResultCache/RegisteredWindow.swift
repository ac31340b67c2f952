/// A write window and its place among all others; made and closed by a `WindowRegistry`.
package final class RegisteredWindow: Sendable {
    /// Grows with each window of the process.
    package let order: UInt64
    package let database: String
    /// The relation families that it covers by name.
    package let relations: [String]
    /// Whether it covers all that the database holds, whatever `relations` says.
    package let coversEverything: Bool
    /// Whether it covers the catalog: its end changes what other windows should have covered.
    let coversCatalog: Bool
    let window: WriteWindow

    init(
        _ entry: WindowRegistry.Entry, window: WriteWindow, coversCatalog: Bool,
        coversEverything: Bool
    ) {
        order = entry.order
        database = entry.database
        relations = entry.relations
        self.window = window
        self.coversCatalog = coversCatalog
        self.coversEverything = coversEverything
    }

    /// Whether it has been closed.
    package var isOver: Bool { window.isOver }

    /// What it has open.
    package var cells: CellSet { window.cells }

    /// The number of its record in the log; 0 where there is none.
    package var logIndex: UInt64 { window.logIndex }
}
