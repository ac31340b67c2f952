import ResultCache

/// The two version cells by which everything that was cached from one SQLite database stands or
/// falls.
struct DatabaseCells: Sendable {
    /// Every cached answer depends on it.
    let schema: VersionCell
    /// Every statement profile depends on it.
    let catalog: VersionCell
    private let table: CellTable

    init(table: CellTable, database: String) {
        self.table = table
        schema = table.cell(.schema(database: database))
        catalog = table.cell(.catalog(database: database))
    }

    /// Makes every cached answer stale; where the schema itself may have changed, every statement
    /// profile too, and first: a fill that begins after the answers' cell moved then finds the
    /// profiles' cell moved as well.
    func invalidate(catalogToo: Bool) {
        if catalogToo { move(catalog) }
        move(schema)
    }

    private func move(_ cell: VersionCell) {
        // A window is refused only when half a million writers are in flight on the cell, while
        // which nothing that depends on it is served or stored.
        openWindow([cell])?.close(.committed)
    }

    func openWindow(_ cells: [VersionCell]) -> WriteWindow? {
        table.open(CellSet(cells))
    }
}
