import Crypto
import Synchronization

/// Gives each name its version cell, the same one for as long as the process lives.
///
/// Cells are not freed, not even with the table: cached replies and open windows point at them
/// without reference counting, and a version that was forgotten could be reached again. Not on
/// the hit path: statement profiles keep the cells that they found here.
package final class CellTable: Sendable {
    /// Cells lie a cache line apart, so that a writer of one relation does not slow down the
    /// readers of its neighbour.
    private static let stride = 64
    private static let cellsPerChunk = 64

    // Sendable: lives in the mutex of `CellTable.state`, and `chunk`, a raw pointer, is only
    // touched under it. The cells that leave it point to atomic words that are never freed.
    private struct State: @unchecked Sendable {
        var cells: [CellName: VersionCell] = [:]
        /// In the order in which they were made.
        var names: [CellName] = []
        var ordinals: [VersionCell: Int] = [:]
        var hashKey: SymmetricKey?
        var relationCells = 0
        var chunk: UnsafeMutableRawPointer?
        var usedInChunk = 0
        var overflows: UInt64 = 0
    }

    private let capacity: Int
    private let state = Mutex(State())
    private let keyCells: KeyCellTable
    private let isPortable = Atomic(false)
    /// Where windows over these cells are recorded; nil where nobody mirrors what depends on them.
    package let log: MirrorLog?

    /// - Parameters:
    ///   - capacity: how many cells there can be for relations, and for the columns by which they
    ///     are read; about 64 bytes and a dictionary slot each, taken when first named.
    ///   - keyCells: how many cells the values of keyed columns share; 8 bytes each, of which the
    ///     system provides the pages that are used. Rounded up to a power of two.
    ///   - log: told of every window over one of the cells.
    package init(capacity: Int = 1 << 16, keyCells: Int = 1 << 20, log: MirrorLog? = nil) {
        self.capacity = max(0, capacity)
        self.log = log
        self.keyCells = KeyCellTable(size: keyCells)
    }

    /// The cell that a key with this hash shares with all others of that hash, and some more: what
    /// two keys have in common can only invalidate too much.
    func keyCell(hash: Int) -> VersionCell { keyCells[hash] }

    /// The cell of `name`. From any thread.
    ///
    /// When `capacity` cells are taken, a further relation gets its database's `schema` cell,
    /// for its readers and its writers alike: its writes then invalidate the whole database, too
    /// much but never too little. A name that has its own cell keeps it. `schema` and `catalog`
    /// always get one: there are two per database.
    package func cell(_ name: CellName) -> VersionCell {
        state.withLock { state in
            if let cell = state.cells[name] { return cell }
            let database: String
            switch name {
            case .schema, .catalog: return Self.add(name, to: &state)
            case .all(let ofRelation, _), .wide(let ofRelation, _, _): database = ofRelation
            }
            guard state.relationCells < capacity else {
                state.overflows += 1
                let top = CellName.schema(database: database)
                return state.cells[top] ?? Self.add(top, to: &state)
            }
            state.relationCells += 1
            return Self.add(name, to: &state)
        }
    }

    /// How many names have a cell of their own.
    package var count: Int { state.withLock { $0.cells.count } }

    /// How often a relation was given its database's `schema` cell because the table was full.
    package var overflows: UInt64 { state.withLock { $0.overflows } }

    private static func add(_ name: CellName, to state: inout State) -> VersionCell {
        if state.chunk == nil || state.usedInChunk == cellsPerChunk {
            state.chunk = UnsafeMutableRawPointer.allocate(
                byteCount: stride * cellsPerChunk, alignment: stride)
            state.usedInChunk = 0
        }
        guard let chunk = state.chunk else {
            preconditionFailure("a chunk of version cells was just allocated")
        }
        let word = (chunk + state.usedInChunk * stride)
            .bindMemory(to: Atomic<UInt64>.self, capacity: 1)
        word.initialize(to: Atomic(0))
        state.usedInChunk += 1
        let cell = VersionCell(word: word)
        state.cells[name] = cell
        state.ordinals[cell] = state.names.count
        state.names.append(name)
        return cell
    }
}

// MARK: - For other processes

extension CellTable {
    /// Opens a window over these cells, and tells the log of it. Returns nil, with nothing opened,
    /// where a cell has too many writers in flight (see `WriteWindow.open`).
    package func open(_ cells: CellSet) -> WriteWindow? {
        WriteWindow.open(cells, log: log)
    }

    /// What to call these cells to another process.
    package func references(of cells: CellSet) -> [CellReference] {
        state.withLock { state in
            cells.cells.map { cell in
                if let ordinal = state.ordinals[cell] { return .named(ordinal) }
                guard let place = keyCells.place(of: cell) else {
                    preconditionFailure("a cell that is none of its table's")
                }
                return .key(place)
            }
        }
    }

    /// The names of the cells from the one with the number `first` on, in their order.
    package func names(from first: Int) -> ArraySlice<CellName> {
        state.withLock { $0.names[min(first, $0.names.count)...] }
    }

    /// The cell at a place among those of keyed values, of a table of any size.
    package func keyCell(place: Int) -> VersionCell { keyCells[place] }

    /// With what the places of keyed values are found, where other processes are to find the same;
    /// nil where each process has its own secret.
    package var hashKey: SymmetricKey? {
        get { isPortable.load(ordering: .acquiring) ? state.withLock { $0.hashKey } : nil }
        set {
            state.withLock { $0.hashKey = newValue }
            isPortable.store(newValue != nil, ordering: .releasing)
        }
    }
}
