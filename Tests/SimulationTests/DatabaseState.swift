/// A table of the model database. Rows are told apart by a slot number; what is in a row is the
/// stamp of its last write, which no other write has.
enum ModelTable: Int, CaseIterable {
    /// `item` in the schemas public, alt, alice and bob.
    case item, itemAlt, itemAlice, itemBob
    case pair
    /// A partitioned table; ids up to 2 are in part_low, the others in part_high.
    case part
    case parent, child
    case audited, audit

    /// The smallest OID of its partition tree: what analysis names the family by.
    var family: UInt32 { 40_001 + UInt32(rawValue) * 10 }
}

/// All that is committed, or all that one transaction sees.
struct DatabaseState {
    static let slots = 9
    /// Stands for the catalog among the tables that a change is in.
    static let catalogBit: UInt32 = 1 << 31
    /// What the columns of `pair` can be: such that their digits can be divided in two ways.
    static let pairKeys: [Int32] = [1, 2, 11]

    /// By table and slot; 0 where there is no row.
    private(set) var rows: [[Int32]]
    /// By slot of `child`.
    private(set) var parents: [Int32]
    /// Whether public.item has a trigger that writes to `audit`.
    private(set) var isItemAudited = false

    init() {
        rows = ModelTable.allCases.map { _ in Array(repeating: 0, count: Self.slots) }
        parents = Array(repeating: 0, count: Self.slots)
        for table in ModelTable.allCases where table != .audit {
            let present = table == .pair ? Array(0..<9) : [1, 2, 3]
            for slot in present {
                rows[table.rawValue][slot] = Int32(table.rawValue * Self.slots + slot + 1)
            }
        }
        for slot in [1, 2, 3] { parents[slot] = Int32(slot) }
    }

    mutating func takeCatalog(of other: DatabaseState) {
        isItemAudited = other.isItemAudited
    }

    subscript(_ table: ModelTable, _ slot: Int) -> Int32 { rows[table.rawValue][slot] }
}

/// One change that a statement makes.
enum Effect: Equatable {
    /// Of the row in a slot, if it is still there.
    case set(ModelTable, Int, Int32)
    case insert(ModelTable, Int, Int32)
    case put(ModelTable, Int, Int32)
    /// With everything that the deletion of a parent passes on.
    case delete(ModelTable, Int)
    case move(ModelTable, from: Int, to: Int, Int32)
    case insertChild(Int, parent: Int32, Int32)
    case adopt(Int, parent: Int32, Int32)
    case auditItem(Bool)
}

/// A constraint is violated: the statement, or the COMMIT, fails.
struct ConstraintViolation: Error {}

extension DatabaseState {
    /// Makes one change; `changed` collects the tables whose contents it has changed, one bit each.
    mutating func apply(_ effect: Effect, changed: inout UInt32) throws(ConstraintViolation) {
        switch effect {
        case .set(let table, let slot, let stamp):
            guard self[table, slot] != 0 else { return }
            write(table, slot, stamp, &changed)
        case .insert(let table, let slot, let stamp):
            guard self[table, slot] == 0 else { throw ConstraintViolation() }
            write(table, slot, stamp, &changed)
        case .put(let table, let slot, let stamp):
            write(table, slot, stamp, &changed)
        case .delete(let table, let slot):
            guard self[table, slot] != 0 else { return }
            write(table, slot, 0, &changed)
            guard table == .parent else { return }
            for child in 0..<Self.slots
            where parents[child] == slot && self[.child, child] != 0 {
                write(.child, child, 0, &changed)
            }
        case .move(let table, let from, let to, let stamp):
            guard self[table, from] != 0, from != to else { return }
            guard self[table, to] == 0 else { throw ConstraintViolation() }
            write(table, from, 0, &changed)
            write(table, to, stamp, &changed)
        case .insertChild(let slot, let parent, let stamp):
            guard self[.child, slot] == 0, self[.parent, Int(parent)] != 0 else {
                throw ConstraintViolation()
            }
            parents[slot] = parent
            write(.child, slot, stamp, &changed)
        case .adopt(let slot, let parent, let stamp):
            guard self[.child, slot] != 0 else { return }
            guard self[.parent, Int(parent)] != 0 else { throw ConstraintViolation() }
            parents[slot] = parent
            write(.child, slot, stamp, &changed)
        case .auditItem(let isAudited):
            guard isAudited != isItemAudited else { throw ConstraintViolation() }
            isItemAudited = isAudited
            changed |= Self.catalogBit
        }
    }

    private mutating func write(
        _ table: ModelTable, _ slot: Int, _ stamp: Int32, _ changed: inout UInt32
    ) {
        rows[table.rawValue][slot] = stamp
        changed |= 1 << UInt32(table.rawValue)
    }
}
