import Mutants

/// Finds every relation family that a write can change: partitions and inheritance trees, what
/// foreign keys pass on, and whatever triggers and rules may do.
struct WriteClosure {
    let catalog: PostgreSQLCatalog
    let path: SearchPath

    /// `scan` takes in what else the write may do (triggers' behaviour, view bodies).
    func writeSet(of targets: Set<WriteTarget>, noting scan: inout DependencyScan) -> WriteSet {
        var writes = WriteSet.nothing
        for target in targets {
            writes = writes.union(writeSet(of: target, path: path, noting: &scan, depth: 0))
        }
        return writes
    }

    /// What the functions that `scan` has met change; it takes in what these changes set off in
    /// turn, until nothing is new.
    func writeSetOfFunctions(noting scan: inout DependencyScan) -> WriteSet {
        var writes = WriteSet.nothing
        var done: Set<WriteTarget> = []
        // Ends: the effects of all functions are bounded, together with the relations' number.
        while true {
            let pending = scan.behaviour.writes.subtracting(done)
            if scan.behaviour.contains(.mayWrite) { return .everythingAndCatalog }
            if pending.isEmpty { return writes }
            for target in pending {
                writes = writes.union(
                    writeSet(of: target, path: .any, noting: &scan, depth: 0))
            }
            done.formUnion(pending)
        }
    }

    private func writeSet(
        of target: WriteTarget, path: SearchPath, noting scan: inout DependencyScan, depth: Int
    ) -> WriteSet {
        noteTemporaryTables(target, in: &scan)
        let candidates = catalog.relations(named: target.relation, path: path)
        guard !candidates.isEmpty, !path.namesTemporarySchema, depth < 64 else {
            // Most likely a temporary table. What it sets off cannot be seen.
            return .everything
        }
        return candidates.reduce(into: WriteSet.nothing) { writes, relation in
            writes = writes.union(
                writeSet(of: relation, target.action, noting: &scan, depth: depth))
        }
    }

    /// A temporary table of the session may stand before a permanent one of its name: that write
    /// changes nothing itself, but the table's triggers and defaults may.
    private func noteTemporaryTables(_ target: WriteTarget, in scan: inout DependencyScan) {
        guard target.relation.schema == nil || target.relation.isTemporary else { return }
        for family in catalog.temporaryTables[target.relation.name] ?? [] {
            _ = closure(of: family, target.action, noting: &scan)
        }
    }

    private func writeSet(
        of relation: PostgreSQLCatalog.Relation, _ action: WriteTarget.Action,
        noting scan: inout DependencyScan, depth: Int
    ) -> WriteSet {
        if relation.isSystem { return .everythingAndCatalog }
        if relation.hasRowSecurity { scan.readPolicies(of: relation) }
        switch relation.kind {
        case .table: return closure(of: relation.family, action, noting: &scan)
        case .materializedView:
            scan.expandView(relation.oid)
            return .relations([relation.relation.identifier])
        case .view: return writeThroughView(relation, action, noting: &scan, depth: depth)
        case .foreignTable: return .everything
        case .sequence: return .everythingAndCatalog
        }
    }

    private func closure(
        of start: UInt32, _ action: WriteTarget.Action, noting scan: inout DependencyScan
    ) -> WriteSet {
        var reached: Set<UInt32> = [start]
        var pending = [start]
        while let next = pending.popLast() {
            let family = catalog.family(next)
            note(family, action, in: &scan)
            let passedOn: Set<UInt32>
            switch action {
            case .insert, .refresh: passedOn = []
            case .change: passedOn = family.cascades
            case .truncate(let cascade): passedOn = cascade ? family.referencing : []
            }
            for child in passedOn where reached.insert(child).inserted { pending.append(child) }
        }
        return .relations(Set(reached.map { RelationIdentifier(String($0)) }))
    }

    private func note(
        _ family: PostgreSQLCatalog.Family, _ action: WriteTarget.Action,
        in scan: inout DependencyScan
    ) {
        scan.behaviour.formUnion(family.behaviour)
        if Mutant.triggersIgnored.isActive { return }
        for trigger in family.triggers where !trigger.events.isDisjoint(with: action.events) {
            scan.behaviour.formUnion(trigger.effects)
        }
    }

    /// An automatically updatable view passes the write on to a table that it reads; INSTEAD
    /// triggers and rules are in its family's behaviour.
    private func writeThroughView(
        _ view: PostgreSQLCatalog.Relation, _ action: WriteTarget.Action,
        noting scan: inout DependencyScan, depth: Int
    ) -> WriteSet {
        scan.expandView(view.oid)
        note(catalog.family(view.family), action, in: &scan)
        guard let body = catalog.definition(of: view.oid) else { return .everythingAndCatalog }
        var writes = WriteSet.nothing
        for facts in body {
            for name in facts.reads {
                writes = writes.union(
                    writeSet(
                        of: WriteTarget(relation: name, action: action), path: .empty,
                        noting: &scan, depth: depth + 1))
            }
        }
        // A view of no table is written through its triggers and rules alone.
        return writes
    }
}
