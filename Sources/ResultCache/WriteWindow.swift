import Mutants
import Synchronization

/// The time from just before a commit can take effect upstream until its outcome is known.
///
/// While a window is open, nothing that depends on its cells is served or stored. Open it before
/// the first byte is sent that can make the transaction visible, and close it when the outcome
/// is known; if the connection dies in between, keep it until it is proven that the server-side
/// session has ended, then close it as committed. A window that is dropped without being closed
/// leaves its cells closed to caching for ever: safe, and visible as a hit ratio of zero.
package final class WriteWindow: Sendable {
    package enum Outcome: Sendable {
        /// Something may have become visible.
        case committed
        /// Proven that nothing became visible: entries stay valid.
        case aborted
    }

    /// The most windows that one cell can have open. Half of what the word's 20 bits can count,
    /// so that even when every thread oversteps at once, before taking its step back, the count
    /// never carries into the version.
    package static let maximumPerCell = 1 << (VersionCell.writerBits - 1)

    package let cells: CellSet
    /// False only under a mutant.
    private let isCounted: Bool
    private let isClosed = Atomic(false)
    private let log: MirrorLog?
    /// What the log calls it.
    private let logName: UInt64
    /// The number of its record in the log; 0 where there is none.
    package let logIndex: UInt64

    /// The cells are open.
    private init(cells: CellSet, isCounted: Bool = true, log: MirrorLog? = nil) {
        self.cells = cells
        self.isCounted = isCounted
        self.log = log
        (logName, logIndex) = log?.opened(cells) ?? (0, 0)
    }

    /// Whether it has been closed.
    var isOver: Bool { isClosed.load(ordering: .sequentiallyConsistent) }

    /// Counts a writer on each cell. Returns nil, with nothing counted, if a cell already has
    /// `maximumPerCell` writers in flight: the write must then be refused, not sent.
    ///
    /// `CellTable.open` also tells the log, if there is one.
    package static func open(_ cells: CellSet, log: MirrorLog? = nil) -> WriteWindow? {
        open(cells, maximumPerCell: maximumPerCell, log: log)
    }

    static func open(
        _ cells: CellSet, maximumPerCell: Int, log: MirrorLog? = nil
    ) -> WriteWindow? {
        if Mutant.noWritersCount.isActive { return WriteWindow(cells: cells, isCounted: false) }
        for (index, cell) in cells.cells.enumerated() {
            if cell.addWriter() > UInt64(maximumPerCell) {
                // Nothing was sent, so this is an abort of the cells counted so far.
                for counted in cells.cells[...index] { counted.removeWriter() }
                return nil
            }
        }
        return WriteWindow(cells: cells, log: log)
    }

    /// Ends the window: the next version on each of its cells if `outcome` is `committed`, the
    /// version they had otherwise. Call exactly once, from any thread.
    package func close(_ outcome: Outcome) {
        let wasClosed = isClosed.exchange(true, ordering: .sequentiallyConsistent)
        precondition(!wasClosed, "a write window was closed twice")
        if !isCounted { for cell in cells.cells { _ = cell.addWriter() } }
        let outcome = Mutant.noBumpAtClose.isActive ? .aborted : outcome
        // Before the cells: what can be stored from then on comes later in the log.
        log?.closed(window: logName, committed: outcome == .committed)
        // One cell after the other is enough: each cell keeps its writer until its own version
        // has grown, so an entry that depends on several is dead from open to the last of them.
        switch outcome {
        case .committed: for cell in cells.cells { cell.removeWriterAndAdvance() }
        case .aborted: for cell in cells.cells { cell.removeWriter() }
        }
    }
}
