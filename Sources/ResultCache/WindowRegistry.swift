import Mutants
import Synchronization

/// Knows which write windows are open over which relations, and by which columns relations are
/// read; decides from that which cells a window opens, and when a column's cells may be relied on.
///
/// A pure machine: no clock, no task, no I/O. Thread-safe; its lock is held for dictionary
/// operations, never while a cell is touched or a caller's code runs.
///
/// **Why keyed reads are linearizable.** Let a window W of a writer that touches rows of R with
/// key v in the columns K, and a reader whose answer is keyed by K = v. The lock puts W's entry and
/// K's registration in an order.
///
/// - *W enters after K is registered.* W sees K, and opens `key(R,K,v)`, or `wide(R,K)` where it
///   does not know v, before its first byte is sent. The reader depends on both cells, so for the
///   two of them the argument is that for whole relations: W's commit becomes visible only while
///   the window is open, so whoever captured a lease before it opened is refused at the fill, or
///   holds an entry that no longer counts. (That W enters first and opens its cells a moment later
///   is harmless: nothing has been sent.)
/// - *W enters before K is registered*, and knows nothing of its cells. Then K is not ready until W
///   has closed. What is read by K before that depends on `all(R)`, which every writer of R opens.
///   When K is ready, W's outcome is known; if it has committed, that is visible to every query
///   sent from then on, and so to each of those whose lease names K's cells.
///
/// Windows over `schema` alone (everything, the catalog) are not asked about here: every entry
/// depends on that cell, whatever it is keyed by.
///
/// An UPDATE that moves a row from one key to another pins its column to both, so that neither the
/// readers who lose the row nor those who gain it can miss it.
package final class WindowRegistry: Sendable {
    /// The most lists of columns that one relation can be keyed by: each costs each of its writers
    /// cells to move. What is read by others depends on all rows.
    package static let maximumColumnLists = 8
    /// The most tuples of values that a window has cells for, by one list of columns.
    static let maximumTuples = 64

    struct RelationName: Hashable {
        let database: String
        let relation: String
    }

    /// What an open window covers by name.
    private struct NarrowWindow {
        let database: String
        let relations: [String]
    }

    private struct State {
        var nextOrder: UInt64 = 1
        /// Windows that cover named relations, by order.
        var narrow: [UInt64: NarrowWindow] = [:]
        /// Catalog changes that have ended while narrow windows of the time before were open. What
        /// those cover was decided from the old catalog (a trigger may have been added since), so
        /// nothing may be answered from memory until they have closed as well.
        var heldOver: [(waitingFor: Set<UInt64>, window: WriteWindow)] = []
        var keyed: [RelationName: [KeyedColumns]] = [:]
        /// Those of them that older windows do not cover.
        var unready: [(waitingFor: Set<UInt64>, columns: KeyedColumns)] = []
    }

    private let state = Mutex(State())
    private let cells: CellTable

    package init(cells: CellTable) {
        self.cells = cells
    }
}

// MARK: - Readers

extension WindowRegistry {
    /// The columns of a relation as something to key reads by: registered by the first call, the
    /// same object ever after. Keep it; but look at `isReady` for each read.
    ///
    /// nil where the relation has too many such lists, or the table of cells is full: depend on
    /// all rows then.
    package func keyed(
        by columns: [String], relation: String, database: String
    ) -> KeyedColumns? {
        let name = RelationName(database: database, relation: relation)
        let known = state.withLock { state in
            state.keyed[name]?.first { $0.columns == columns }
        }
        if let known { return known }
        let wide = cells.cell(.wide(database: database, relation: relation, columns: columns))
        // Without a cell of its own each write would move the whole database's.
        guard wide != cells.cell(.schema(database: database)) else { return nil }
        let fresh = KeyedColumns(
            database: database, relation: relation, columns: columns, wide: wide, cells: cells)
        return register(fresh, name)
    }

    private func register(_ fresh: KeyedColumns, _ name: RelationName) -> KeyedColumns? {
        state.withLock { state in
            let lists = state.keyed[name, default: []]
            if let known = lists.first(where: { $0.columns == fresh.columns }) { return known }
            guard lists.count < Self.maximumColumnLists else { return nil }
            state.keyed[name] = lists + [fresh]
            var older: Set<UInt64> = []
            for (order, window) in state.narrow
            where window.database == name.database && window.relations.contains(name.relation) {
                older.insert(order)
            }
            if older.isEmpty || Mutant.newlyKeyedColumn.isActive {
                fresh.becomeReady()
            } else {
                state.unready.append((older, fresh))
            }
            return fresh
        }
    }
}

// MARK: - Writers

extension WindowRegistry {
    /// Opens a window over `coverage`. Call before the first byte that can commit is sent. Returns
    /// nil, with nothing opened, where the limit of writers in flight is reached: the write must
    /// then be refused.
    ///
    /// `catalogVersion` is what the coverage was decided from: where the catalog has moved since,
    /// or is being changed, the window covers the whole database.
    package func open(
        _ coverage: WriteCoverage<some PinnedRows>, database: String, catalogVersion: UInt64
    ) -> RegisteredWindow? {
        open(coverage, enter(coverage, database: database), catalogVersion: catalogVersion)
    }

    /// What a window learns when it takes its place in order.
    struct Entry {
        let order: UInt64
        let database: String
        let relations: [String]
        /// The columns that were keyed by then, of those relations that have any, by their index.
        let keyed: [(index: Int, columns: [KeyedColumns])]
    }

    /// The first half of `open`: from here on, columns that become keyed wait for the window.
    func enter(_ coverage: WriteCoverage<some PinnedRows>, database: String) -> Entry {
        var relations: [String] = []
        if case .relations(let writes) = coverage { relations = writes.map(\.relation) }
        return state.withLock { state in
            let order = state.nextOrder
            state.nextOrder += 1
            var keyed: [(index: Int, columns: [KeyedColumns])] = []
            if !relations.isEmpty {
                state.narrow[order] = NarrowWindow(database: database, relations: relations)
            }
            if !state.keyed.isEmpty {
                for (index, relation) in relations.enumerated() {
                    let name = RelationName(database: database, relation: relation)
                    if let columns = state.keyed[name] { keyed.append((index, columns)) }
                }
            }
            return Entry(order: order, database: database, relations: relations, keyed: keyed)
        }
    }

    /// The second half: opens the cells.
    func open<Pins>(
        _ coverage: WriteCoverage<Pins>, _ entry: Entry, catalogVersion: UInt64
    ) -> RegisteredWindow? {
        let database = entry.database
        let catalog = cells.cell(.catalog(database: database))
        var covered = entry.relations.map { cells.cell(.all(database: database, relation: $0)) }
        var coversCatalog = false
        switch coverage {
        case .relations(let writes):
            for (index, lists) in entry.keyed {
                for columns in lists { columns.cover(writes[index].pins, into: &covered) }
            }
        case .everything:
            break
        case .everythingAndCatalog:
            coversCatalog = true
            // Roles and their memberships belong to all databases of a server.
            covered += [catalog, cells.cell(.cluster)]
        }
        // The catalog is looked at after the window has entered: a change that is missed by the
        // look ends later, and then waits for this window.
        let coversEverything =
            entry.relations.isEmpty || catalog.writersInFlight > 0
            || catalog.current != catalogVersion
        if coversEverything { covered.append(cells.cell(.schema(database: database))) }
        guard let window = cells.open(CellSet(covered)) else {
            let ended = leave(entry.order)
            // What waited for this window alone has nothing to wait for any more.
            settle(ended)
            return nil
        }
        return RegisteredWindow(
            entry, window: window, coversCatalog: coversCatalog, coversEverything: coversEverything)
    }

    /// Closes a window whose outcome is known: `committed` unless it is proven that nothing became
    /// visible. Call exactly once.
    package func close(_ open: RegisteredWindow, committed: Bool) {
        let ended = leave(open.order)
        if open.coversCatalog, committed {
            closeCatalogChange(open)
        } else {
            open.window.close(committed ? .committed : .aborted)
        }
        settle(ended)
    }

    /// What has waited for a window and waits no longer.
    private struct Ended {
        var heldOver: [WriteWindow] = []
        var columns: [KeyedColumns] = []
    }

    private func leave(_ order: UInt64) -> Ended {
        state.withLock { state in
            var ended = Ended()
            guard state.narrow.removeValue(forKey: order) != nil else { return ended }
            for index in state.heldOver.indices.reversed() {
                state.heldOver[index].waitingFor.remove(order)
                if state.heldOver[index].waitingFor.isEmpty {
                    ended.heldOver.append(state.heldOver.remove(at: index).window)
                }
            }
            for index in state.unready.indices.reversed() {
                state.unready[index].waitingFor.remove(order)
                if state.unready[index].waitingFor.isEmpty {
                    ended.columns.append(state.unready.remove(at: index).columns)
                }
            }
            return ended
        }
    }

    private func settle(_ ended: Ended) {
        for window in ended.heldOver { window.close(.committed) }
        for columns in ended.columns { columns.becomeReady() }
    }

    /// A committed catalog change: its cells open again over the schema at once if narrow windows
    /// are still out, so that there is no moment without one.
    private func closeCatalogChange(_ open: RegisteredWindow) {
        let schema = CellSet([cells.cell(.schema(database: open.database))])
        let holdover = cells.open(schema)
        open.window.close(.committed)
        guard let holdover else { return }
        let isHeld = state.withLock { state in
            guard !state.narrow.isEmpty else { return false }
            state.heldOver.append((Set(state.narrow.keys), holdover))
            return true
        }
        if !isHeld { holdover.close(.aborted) }
    }
}

extension KeyedColumns {
    /// Adds the cells of the keys that rows like these have: one for each combination of their
    /// values, or the wide one where they may have others, or too many.
    fileprivate func cover(_ pins: some PinnedRows, into covered: inout [VersionCell]) {
        if columns.count == 1 {
            guard let values = pins.values(of: columns[0]),
                values.count <= WindowRegistry.maximumTuples
            else {
                covered.append(wide)
                return
            }
            for value in values { covered.append(cell(of: CollectionOfOne(value))) }
            return
        }
        guard let tuples = tuples(pins) else {
            covered.append(wide)
            return
        }
        for tuple in tuples { covered.append(cell(of: tuple)) }
    }

    private func tuples<Pins: PinnedRows>(_ pins: Pins) -> [[Pins.Value]]? {
        var tuples: [[Pins.Value]] = [[]]
        for column in columns {
            guard let values = pins.values(of: column),
                values.count <= WindowRegistry.maximumTuples,
                tuples.count * values.count <= WindowRegistry.maximumTuples
            else { return nil }
            tuples = tuples.flatMap { tuple in values.map { tuple + [$0] } }
        }
        return tuples
    }
}
