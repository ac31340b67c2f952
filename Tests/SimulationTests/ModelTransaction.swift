/// A transaction of the model database, from its first statement to its end.
struct ModelTransaction {
    /// BEGIN has been said; else it ends with its Query or Sync.
    var isBlock: Bool
    var isRepeatableRead: Bool
    var effects: [Effect] = []
    /// A write has been run in it, whatever became of it.
    var hasWritten = false
    /// What its reads are of, in REPEATABLE READ, from its first statement on.
    var snapshot: DatabaseState?
    var hasRunStatement = false
    let settingsBefore: ModelSettings
    /// Changes made with SET LOCAL: what holds when the transaction has been committed.
    var settingsAfter: ModelSettings
    var savepoints: [(effects: Int, settings: ModelSettings, settingsAfter: ModelSettings)] = []

    init(isBlock: Bool, isRepeatableRead: Bool, settings: ModelSettings) {
        self.isBlock = isBlock
        self.isRepeatableRead = isRepeatableRead
        settingsBefore = settings
        settingsAfter = settings
    }

    /// What a statement of it sees now.
    mutating func view(of committed: DatabaseState) -> DatabaseState {
        hasRunStatement = true
        if isRepeatableRead, snapshot == nil { snapshot = committed }
        var view = isRepeatableRead ? snapshot ?? committed : committed
        // The catalog is read as it is now, whatever the snapshot.
        view.takeCatalog(of: committed)
        var changed: UInt32 = 0
        // What another transaction has committed meanwhile can spoil an own change: that shows at
        // COMMIT, and is not seen before.
        for effect in effects { try? view.apply(effect, changed: &changed) }
        return view
    }
}
