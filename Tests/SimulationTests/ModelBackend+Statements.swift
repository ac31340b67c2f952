import PostgresWire

/// What statements do.
extension ModelBackend {
    enum Performed {
        case rows(ModelAnswer)
        case settings([(String, String)])
        case done(String)
        /// The transaction is to end so.
        case ends(committing: Bool, tag: String)
        /// The error has been told.
        case failed
    }

    /// `answered` is what a portal has had from its snapshot.
    func perform(
        _ statement: ModelStatement, _ parameters: [Int32?], parseZone: Int,
        answered: ModelAnswer?
    ) -> Performed {
        if hasFailed, !statement.endsBlock {
            failInFailedBlock()
            return .failed
        }
        if let reason = chanceFailure(statement) {
            fail(reason, "cancelled, or out of luck")
            return .failed
        }
        switch statement.meaning {
        case .read(let read):
            return .rows(answered ?? answer(read, parameters, parseZone: parseZone))
        case .one:
            beginIfNone()
            transaction?.hasRunStatement = true
            return .rows(ModelAnswer(columns: 1, values: [1]))
        case .probe:
            return .settings(probedSettings)
        case .write(let write):
            return perform(write, parameters)
        case .begin, .commit, .rollback, .savepoint, .rollbackToSavepoint, .releaseSavepoint,
            .repeatableRead:
            return control(statement.meaning)
        case .set(let change, let isLocal):
            return set(change, isLocal: isLocal)
        case .configure(let change):
            return configure(change)
        case .discardSequences:
            return .done("DISCARD SEQUENCES")
        case .discardAll:
            guard transaction == nil else {
                fail("25001", "DISCARD ALL cannot run inside a transaction block")
                return .failed
            }
            if simulation.features.pool != nil, client == nil { simulation.counters.resets += 1 }
            settings = ModelSettings()
            statements = [:]
            portals = [:]
            return .done("DISCARD ALL")
        }
    }

    private func chanceFailure(_ statement: ModelStatement) -> String? {
        switch statement.meaning {
        case .commit, .rollback, .rollbackToSavepoint: return nil
        default: break
        }
        if isCancelled {
            isCancelled = false
            simulation.counters.cancelled += 1
            return "57014"
        }
        return simulation.chance.permille(simulation.features.failedStatements) ? "40001" : nil
    }

    func failInFailedBlock() {
        fail("25P02", "current transaction is aborted")
    }

    private func beginIfNone() {
        guard transaction == nil else { return }
        transaction = ModelTransaction(
            isBlock: false, isRepeatableRead: settings.isRepeatableReadByDefault,
            settings: settings)
    }

    func answer(_ read: Read, _ parameters: [Int32?], parseZone: Int) -> ModelAnswer {
        beginIfNone()
        let view = transaction?.view(of: simulation.database.current) ?? DatabaseState()
        return read.answer(parameters, in: view, settings, parseZone: parseZone)
    }

    private func perform(_ write: Write, _ parameters: [Int32?]) -> Performed {
        beginIfNone()
        transaction?.hasWritten = true
        var view = transaction?.view(of: simulation.database.current) ?? DatabaseState()
        let effects = write.effects(
            parameters, in: view, settings, stamp: simulation.database.nextStamp)
        guard let effects else {
            fail("22012", "division by zero")
            return .failed
        }
        var changed: UInt32 = 0
        do {
            for effect in effects { try view.apply(effect, changed: &changed) }
        } catch {
            fail("23505", "constraint violated")
            return .failed
        }
        transaction?.effects += effects
        return .done(write.tag(count: effects.count))
    }

    // MARK: Transaction control

    private func control(_ meaning: Meaning) -> Performed {
        switch meaning {
        case .begin(let repeatableRead): return begin(repeatableRead)
        case .commit:
            if hasFailed { return .ends(committing: false, tag: "ROLLBACK") }
            return .ends(committing: true, tag: "COMMIT")
        case .rollback:
            return .ends(committing: false, tag: "ROLLBACK")
        case .repeatableRead:
            guard transaction?.hasRunStatement != true else {
                fail("25001", "SET TRANSACTION must be called before any query")
                return .failed
            }
            transaction?.isRepeatableRead = true
            return .done("SET")
        default:
            return savepoint(meaning)
        }
    }

    private func begin(_ repeatableRead: Bool?) -> Performed {
        let isRepeatableRead = repeatableRead ?? settings.isRepeatableReadByDefault
        if transaction == nil {
            transaction = ModelTransaction(
                isBlock: true, isRepeatableRead: isRepeatableRead, settings: settings)
        } else if transaction?.isBlock == true {
            leaving.writeNoticeResponse(
                PostgresError(.activeTransaction, "there is already a transaction in progress"))
        } else {
            transaction?.isBlock = true
        }
        return .done("BEGIN")
    }

    private func savepoint(_ meaning: Meaning) -> Performed {
        guard var running = transaction, running.isBlock else {
            fail("25P01", "only in transaction blocks")
            return .failed
        }
        if meaning == .savepoint {
            running.savepoints.append((running.effects.count, settings, running.settingsAfter))
            transaction = running
            return .done("SAVEPOINT")
        }
        guard let last = running.savepoints.last else {
            fail("3B001", "savepoint does not exist")
            return .failed
        }
        if meaning == .rollbackToSavepoint {
            running.effects.removeLast(running.effects.count - last.effects)
            settings = last.settings
            running.settingsAfter = last.settingsAfter
            hasFailed = false
            transaction = running
            return .done("ROLLBACK")
        }
        running.savepoints.removeLast()
        transaction = running
        return .done("RELEASE")
    }

    // MARK: Settings

    private func set(_ change: ModelSettingChange, isLocal: Bool) -> Performed {
        if simulation.chance.permille(simulation.features.rejectedSettings) {
            simulation.counters.rejectedSettings += 1
            fail("42501", "permission denied")
            return .failed
        }
        apply(change, isLocal: isLocal)
        return .done(change.isReset ? "RESET" : "SET")
    }

    private func apply(_ change: ModelSettingChange, isLocal: Bool) {
        beginIfNone()
        change.apply(to: &settings)
        if !isLocal, var after = transaction?.settingsAfter {
            change.apply(to: &after)
            transaction?.settingsAfter = after
        }
    }

    /// One of the proxy's own: what the client whose turn it is has set before.
    private func configure(_ change: ModelSettingChange) -> Performed {
        if simulation.chance.permille(simulation.features.rejectedReplays) {
            simulation.counters.rejectedReplays += 1
            fail("42501", "permission denied")
            return .failed
        }
        apply(change, isLocal: false)
        return change.isReset ? .done("RESET") : .rows(ModelAnswer(columns: 1, values: [1]))
    }

    private var probedSettings: [(String, String)] {
        var rows = settings.printed.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        rows.append(("timezone", settings.zoneName))
        rows.append(("session_user", "app"))
        rows.append(("mynah.temporary_objects", "f"))
        return rows
    }
}

extension ModelStatement {
    /// Whether it may be said in a failed block.
    var endsBlock: Bool {
        switch meaning {
        case .commit, .rollback, .rollbackToSavepoint: true
        default: false
        }
    }
}

extension Write {
    func tag(count: Int) -> String {
        switch self {
        case .touch, .move, .touchPairs, .touchChildren, .adopt, .failing: "UPDATE \(count)"
        case .insert, .upsert, .insertChild: "INSERT 0 \(count)"
        case .delete: "DELETE \(count)"
        case .audit(let isAudited): isAudited ? "CREATE TRIGGER" : "DROP TRIGGER"
        }
    }
}
