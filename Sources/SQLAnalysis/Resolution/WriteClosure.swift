/// Finds every relation family that a write can change: partitions and inheritance trees, what
/// foreign keys pass on, and whatever triggers and rules may do.
struct WriteClosure {
    let catalog: PostgreSQLCatalog
    let path: SearchPath
    /// Tells which rows the statement's own writes touch; without it any row is.
    var rows: RowResolver?

    /// `scan` takes in what else the write may do (triggers' behaviour, view bodies).
    func writeSet(of targets: Set<WriteTarget>, noting scan: inout DependencyScan) -> WriteSet {
        var writes = WriteSet.nothing
        for target in targets {
            writes = writes.union(writeSet(of: target, path: path, noting: &scan, depth: 0))
        }
        return writes
    }

    private func writeSet(
        of target: WriteTarget, path: SearchPath, noting scan: inout DependencyScan, depth: Int
    ) -> WriteSet {
        let candidates = catalog.relations(named: target.relation, path: path)
        guard !candidates.isEmpty, !path.namesTemporarySchema, depth < 64 else {
            // Most likely a temporary table. What it sets off cannot be seen.
            return .everything
        }
        return candidates.reduce(into: WriteSet.nothing) { writes, relation in
            let pins = candidates.count == 1 ? rows?.pins(of: target.rows, target: relation) : nil
            writes = writes.union(
                writeSet(
                    of: relation, target.action, pins ?? .anyRow, noting: &scan, depth: depth))
        }
    }

    private func writeSet(
        of relation: PostgreSQLCatalog.Relation, _ action: WriteTarget.Action, _ pins: RowPins,
        noting scan: inout DependencyScan, depth: Int
    ) -> WriteSet {
        if relation.isSystem { return .everythingAndCatalog }
        switch relation.kind {
        case .table: return closure(of: relation.family, action, pins, noting: &scan)
        case .materializedView:
            scan.expandView(relation.oid)
            return .relations([relation.relation.identifier])
        case .view: return writeThroughView(relation, action, noting: &scan, depth: depth)
        case .foreignTable: return .everything
        case .sequence: return .everythingAndCatalog
        }
    }

    private func closure(
        of start: UInt32, _ action: WriteTarget.Action, _ pins: RowPins,
        noting scan: inout DependencyScan
    ) -> WriteSet {
        let keys = ForeignKeyClosure(of: start, action, in: catalog)
        for family in keys.families { scan.behaviour.formUnion(catalog.family(family).behaviour) }
        var written = Dictionary(
            uniqueKeysWithValues: keys.families.map {
                (RelationIdentifier(String($0)), RowPins.anyRow)
            })
        let family = catalog.family(start)
        if !keys.returns, !family.rewritesRows, !family.holdsForeignTable {
            written[RelationIdentifier(String(start))] = pins
        }
        return .relations(written)
    }

    /// An automatically updatable view passes the write on to a table that it reads; INSTEAD
    /// triggers and rules are in its family's behaviour.
    private func writeThroughView(
        _ view: PostgreSQLCatalog.Relation, _ action: WriteTarget.Action,
        noting scan: inout DependencyScan, depth: Int
    ) -> WriteSet {
        scan.expandView(view.oid)
        scan.behaviour.formUnion(catalog.family(view.family).behaviour)
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
        return writes == .nothing ? .everything : writes
    }
}
