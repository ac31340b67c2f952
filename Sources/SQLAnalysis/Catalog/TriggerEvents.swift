/// What a trigger fires on.
package struct TriggerEvents: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let insert = TriggerEvents(rawValue: 1 << 0)
    package static let delete = TriggerEvents(rawValue: 1 << 1)
    package static let update = TriggerEvents(rawValue: 1 << 2)
    package static let truncate = TriggerEvents(rawValue: 1 << 3)
    package static let all: TriggerEvents = [.insert, .delete, .update, .truncate]

    /// pg_trigger.tgtype: https://www.postgresql.org/docs/15/catalog-pg-trigger.html
    package init(tgtype: Int) {
        self.init(rawValue: UInt8(truncatingIfNeeded: tgtype >> 2) & Self.all.rawValue)
    }
}

extension WriteTarget.Action {
    /// What such a write may fire. A change may be any of three: MERGE inserts, and an UPDATE that
    /// moves a row to another partition deletes and inserts it.
    var events: TriggerEvents {
        switch self {
        case .insert: .insert
        case .change: [.insert, .update, .delete]
        case .truncate: .truncate
        case .refresh: []
        }
    }
}

extension PostgreSQLCatalog.Family {
    /// An enabled trigger on one of its members.
    package struct Trigger: Sendable {
        package let events: TriggerEvents
        package let effects: FunctionEffects
    }
}
