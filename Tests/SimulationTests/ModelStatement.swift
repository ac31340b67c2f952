/// What a statement says instead of a value.
enum Operand: Equatable {
    case constant(Int32)
    /// From 0.
    case parameter(Int)

    func value(_ parameters: [Int32?]) -> Int32? {
        switch self {
        case .constant(let value): value
        case .parameter(let index): index < parameters.count ? parameters[index] : nil
        }
    }
}

/// What a FROM names.
enum Source: Equatable {
    /// `item`, as the settings have it.
    case item
    case table(ModelTable)
    /// One partition of `part`.
    case low, high

    func table(_ settings: ModelSettings) -> ModelTable {
        switch self {
        case .item: settings.item
        case .table(let table): table
        case .low, .high: .part
        }
    }

    var slots: ClosedRange<Int> {
        switch self {
        case .item, .table: 0...(DatabaseState.slots - 1)
        case .low: 0...2
        case .high: 3...(DatabaseState.slots - 1)
        }
    }
}

enum Read: Equatable {
    /// id and value where the id is one of some; nil: all rows.
    case rows(Source, [Operand]?)
    /// How many rows there are, and the largest value.
    case total(Source)
    /// By column a, by column b, by both or by none.
    case pairs(Operand?, Operand?)
    case children(of: Operand)
    /// Parents with their children, for one parent or for all.
    case family(Operand?)
    /// The view over public.item and parent.
    case overview(Operand?)
    /// With a constant that was read with the time zone of Parse and is shown with the current one.
    case zoned(Operand)
}

enum Write: Equatable {
    case touch(Source, [Operand]?)
    case move(Source, from: Operand, to: Operand)
    case insert(Source, Operand)
    case upsert(Source, Operand)
    case delete(Source, [Operand]?)
    case touchPairs(Operand?, Operand?)
    case touchChildren(of: Operand)
    case adopt(Operand, parent: Operand)
    case insertChild(Operand, parent: Operand)
    /// CREATE TRIGGER or DROP TRIGGER.
    case audit(Bool)
    /// Divides by zero.
    case failing
}

enum Meaning: Equatable {
    case read(Read)
    case write(Write)
    /// nil: the session's level.
    case begin(repeatableRead: Bool?)
    case commit, rollback
    case savepoint, rollbackToSavepoint, releaseSavepoint
    /// SET TRANSACTION ISOLATION LEVEL REPEATABLE READ.
    case repeatableRead
    case set(ModelSettingChange, isLocal: Bool)
    case discardAll
    /// What the proxy asks for by itself.
    case one, probe
    /// What the proxy makes the settings of a shared connection with.
    case configure(ModelSettingChange)
    case discardSequences
}

/// One statement's text and what the model takes it for.
struct ModelStatement {
    let text: String
    let meaning: Meaning
    let parameterCount: Int

    init(_ text: String, _ meaning: Meaning, parameters: Int = 0) {
        self.text = text
        self.meaning = meaning
        parameterCount = parameters
    }

    var isRead: Bool {
        if case .read = meaning { return true }
        return false
    }
}

/// Rows of numbers, one after the other.
struct ModelAnswer: Equatable {
    var columns: Int
    var values: [Int32] = []

    var rowCount: Int { values.count / columns }
}

extension Read {
    var columns: Int {
        switch self {
        case .rows, .total, .children: 2
        case .pairs, .overview, .zoned: 3
        case .family: 4
        }
    }

    /// What the statement answers. `parseZone` is the time zone with which it was parsed.
    func answer(
        _ parameters: [Int32?], in state: DatabaseState, _ settings: ModelSettings, parseZone: Int
    ) -> ModelAnswer {
        var answer = ModelAnswer(columns: columns)
        switch self {
        case .rows(let source, let operands):
            let table = source.table(settings)
            let wanted = operands?.compactMap { $0.value(parameters) }
            for slot in source.slots where state[table, slot] != 0 {
                if let wanted, !wanted.contains(Int32(slot)) { continue }
                answer.values += [Int32(slot), state[table, slot]]
            }
        case .total(let source):
            let rows = source.slots.map { state[source.table(settings), $0] }.filter { $0 != 0 }
            answer.values = [Int32(rows.count), rows.max() ?? 0]
        case .pairs(let first, let second):
            for slot in Self.pairSlots(first, second, parameters)
            where state[.pair, slot] != 0 {
                answer.values += [
                    DatabaseState.pairKeys[slot / 3], DatabaseState.pairKeys[slot % 3],
                    state[.pair, slot],
                ]
            }
        case .children(let parent):
            let parent = parent.value(parameters)
            for slot in 0..<DatabaseState.slots
            where state[.child, slot] != 0 && state.parents[slot] == parent {
                answer.values += [Int32(slot), state[.child, slot]]
            }
        case .family(let operand):
            for slot in 0..<DatabaseState.slots where state[.child, slot] != 0 {
                let parent = state.parents[slot]
                if let operand, operand.value(parameters) != parent { continue }
                answer.values += [
                    parent, state[.parent, Int(parent)], Int32(slot), state[.child, slot],
                ]
            }
        case .overview(let operand):
            for slot in 0..<DatabaseState.slots
            where state[.item, slot] != 0 && state[.parent, slot] != 0 {
                if let operand, operand.value(parameters) != Int32(slot) { continue }
                answer.values += [Int32(slot), state[.item, slot], state[.parent, slot]]
            }
        case .zoned(let operand):
            if let slot = operand.value(parameters).map(Int.init),
                state[settings.item, slot] != 0
            {
                answer.values = [
                    state[settings.item, slot], Int32(parseZone), Int32(settings.zone),
                ]
            }
        }
        return answer
    }

    static func pairSlots(
        _ first: Operand?, _ second: Operand?, _ parameters: [Int32?]
    ) -> [Int] {
        (0..<9).filter { slot in
            (first.map { $0.value(parameters) == DatabaseState.pairKeys[slot / 3] } ?? true)
                && (second.map { $0.value(parameters) == DatabaseState.pairKeys[slot % 3] } ?? true)
        }
    }
}

extension Write {
    /// The changes that the statement makes to what its transaction sees; nil where it fails.
    /// `stamp` gives new rows and values their stamps.
    func effects(
        _ parameters: [Int32?], in state: DatabaseState, _ settings: ModelSettings,
        stamp: () -> Int32
    ) -> [Effect]? {
        var effects: [Effect] = []
        switch self {
        case .touch(let source, let operands):
            let table = source.table(settings)
            for slot in Self.slots(source, operands, parameters) where state[table, slot] != 0 {
                effects.append(.set(table, slot, stamp()))
            }
        case .move(let source, let from, let to):
            guard let from = from.value(parameters), let to = to.value(parameters) else { break }
            let table = source.table(settings)
            if state[table, Int(from)] != 0 {
                effects.append(.move(table, from: Int(from), to: Int(to), stamp()))
            }
        case .insert(let source, let operand):
            guard let slot = operand.value(parameters) else { return nil }
            effects.append(.insert(source.table(settings), Int(slot), stamp()))
        case .upsert(let source, let operand):
            guard let slot = operand.value(parameters) else { return nil }
            effects.append(.put(source.table(settings), Int(slot), stamp()))
        case .delete(let source, let operands):
            let table = source.table(settings)
            for slot in Self.slots(source, operands, parameters) where state[table, slot] != 0 {
                effects.append(.delete(table, slot))
            }
        case .touchPairs(let first, let second):
            for slot in Read.pairSlots(first, second, parameters) where state[.pair, slot] != 0 {
                effects.append(.set(.pair, slot, stamp()))
            }
        case .touchChildren(let parent):
            let parent = parent.value(parameters)
            for slot in 0..<DatabaseState.slots
            where state[.child, slot] != 0 && state.parents[slot] == parent {
                effects.append(.set(.child, slot, stamp()))
            }
        case .adopt(let child, let parent):
            guard let child = child.value(parameters), let parent = parent.value(parameters) else {
                return nil
            }
            effects.append(.adopt(Int(child), parent: parent, stamp()))
        case .insertChild(let child, let parent):
            guard let child = child.value(parameters), let parent = parent.value(parameters) else {
                return nil
            }
            effects.append(.insertChild(Int(child), parent: parent, stamp()))
        case .audit(let isAudited):
            effects.append(.auditItem(isAudited))
        case .failing:
            return nil
        }
        return effects + effects.compactMap { Self.triggered(by: $0, in: state, stamp) }
    }

    private static func slots(
        _ source: Source, _ operands: [Operand]?, _ parameters: [Int32?]
    ) -> [Int] {
        guard let operands else { return Array(source.slots) }
        return operands.compactMap { $0.value(parameters).map(Int.init) }
            .filter(source.slots.contains)
    }

    /// What the triggers do: they note every change of `audited`, and of public.item while it has
    /// one.
    private static func triggered(
        by effect: Effect, in state: DatabaseState, _ stamp: () -> Int32
    ) -> Effect? {
        let (table, slot): (ModelTable, Int)
        switch effect {
        case .set(let changed, let at, _), .insert(let changed, let at, _),
            .put(let changed, let at, _), .delete(let changed, let at),
            .move(let changed, from: let at, to: _, _):
            (table, slot) = (changed, at)
        case .insertChild, .adopt, .auditItem: return nil
        }
        guard table == .audited || (table == .item && state.isItemAudited) else { return nil }
        return .put(.audit, slot, stamp())
    }
}
