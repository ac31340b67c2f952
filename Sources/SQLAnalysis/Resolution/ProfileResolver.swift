import Telemetry

/// The resolution pass: facts and a catalog to profiles. Supersets are safe; a read is not
/// answered from memory unless everything about it is proven harmless.
package struct ProfileResolver {
    private let catalog: PostgreSQLCatalog
    private let path: SearchPath

    package static func profile(
        of facts: [SyntaxFacts], catalog: PostgreSQLCatalog, context: ResolutionContext,
        parameterTypes: [UInt32], catalogVersion: UInt64
    ) -> QueryProfile {
        let resolver = ProfileResolver(
            catalog: catalog,
            path: SearchPath(
                context.searchPath, sessionUser: context.sessionUser,
                currentRole: context.currentRole))
        return QueryProfile(
            statements: facts.map { resolver.profile(of: $0, parameterTypes: parameterTypes) },
            catalogVersion: catalogVersion)
    }

    /// Profiles of statements for which the catalog could not be had in time.
    package static func profileWithoutCatalog(
        of facts: [SyntaxFacts], catalogVersion: UInt64
    ) -> QueryProfile {
        QueryProfile(
            statements: facts.map(profileWithoutCatalog), catalogVersion: catalogVersion)
    }

    /// The profile that follows from the text alone; nil where names matter.
    package static func syntacticProfile(of facts: SyntaxFacts) -> StatementProfile? {
        guard var profile = profileOfText(facts) else { return nil }
        profile.sessionEffects += facts.sessionEffects
        if case .setting(.unknown) = profile.kind { profile.sessionEffects.append(.unknown) }
        return profile
    }

    private static func profileOfText(_ facts: SyntaxFacts) -> StatementProfile? {
        if facts.needsCatalog { return nil }
        switch facts.kind {
        case .transaction(let command):
            return StatementProfile(
                kind: .transaction(command),
                writeSet: command == .commitPrepared ? .everythingAndCatalog : .nothing,
                hasTimeTypedParameters: false)
        case .setting(let change):
            return StatementProfile(
                kind: .setting(change), taintsSession: change == .unknown,
                hasTimeTypedParameters: false)
        case .harmless:
            return StatementProfile(kind: .harmless, hasTimeTypedParameters: false)
        case .locking:
            return StatementProfile(kind: .locking, hasTimeTypedParameters: false)
        case .opaque(let mayEndTransaction):
            var profile = StatementProfile.opaque(.notARead)
            profile.mayEndTransaction = mayEndTransaction
            return profile
        case .query:
            return StatementProfile(
                kind: facts.takesRowLocks ? .locking : .read,
                bypassReason: facts.bypassReason ?? .noRelation, hasTimeTypedParameters: false)
        case .dataModification, .temporaryObject, .definition:
            return nil
        }
    }

    private static func profileWithoutCatalog(of facts: SyntaxFacts) -> StatementProfile {
        if let profile = syntacticProfile(of: facts) { return profile }
        var profile = worstProfile(of: facts)
        profile.sessionEffects = facts.sessionEffects
        // What views, triggers and operators call is not known.
        profile.sessionEffects.append(.unknown)
        return profile
    }

    private static func worstProfile(of facts: SyntaxFacts) -> StatementProfile {
        switch facts.kind {
        case .definition:
            return StatementProfile(
                kind: .write, writeSet: .everythingAndCatalog, taintsSession: true)
        case .query where facts.writes.isEmpty:
            // A function or view that cannot be seen through may do anything.
            return StatementProfile(
                kind: .opaque, writeSet: .everything, bypassReason: .catalogNotReady,
                taintsSession: !facts.functions.isEmpty || facts.code != nil,
                mayEndTransaction: facts.mayEndTransaction)
        default:
            return StatementProfile(
                kind: .write, writeSet: .everything, bypassReason: .catalogNotReady,
                taintsSession: !facts.functions.isEmpty || facts.kind == .temporaryObject)
        }
    }

    // MARK: One statement

    private func profile(of facts: SyntaxFacts, parameterTypes: [UInt32]) -> StatementProfile {
        if let profile = Self.syntacticProfile(of: facts) { return profile }
        var scan = DependencyScan(catalog: catalog)
        let rows = RowResolver(
            catalog: catalog, path: path, facts: facts, parameterTypes: parameterTypes)
        scan.read(facts, path: path, rows: rows)
        for type in parameterTypes { scan.behaviour.formUnion(catalog.behaviour(ofType: type)) }

        var profile = StatementProfile(kind: .read)
        profile.hasTimeTypedParameters =
            scan.timeUse.contains(.any)
            || parameterTypes.contains { catalog.timeUse(ofType: $0).contains(.any) }

        let closure = WriteClosure(catalog: catalog, path: path, rows: rows)
        profile.writeSet = closure.writeSet(of: facts.writes, noting: &scan)
        profile.writeSet = profile.writeSet.union(closure.writeSetOfFunctions(noting: &scan))
        if scan.behaviour.contains(.mayWrite) { profile.writeSet = .everythingAndCatalog }
        profile.taintsSession = scan.behaviour.contains(.leavesState)
        profile.sessionEffects = facts.sessionEffects + scan.behaviour.behaviour.sessionEffects
        profile.shape = shape(of: facts)
        profile.kind = kind(of: facts, scan, &profile)
        profile.mayEndTransaction = facts.mayEndTransaction && profile.kind == .opaque
        guard profile.kind == .read else { return profile }

        profile.readSet = scan.relations
        profile.dependencies = scan.dependencies
        profile.settingsRead = scan.settingsRead
        profile.isSubjectToPolicies = scan.isSubjectToPolicies
        profile.bypassReason = bypassReason(of: facts, scan, parameterTypes)
        return profile
    }

    /// A hash of the columns of what the statement names; nil where a name stands for nothing.
    ///
    /// A name may stand for several relations, as rights to schemas are not known here: those with
    /// the same columns count as one.
    private func shape(of facts: SyntaxFacts) -> Int? {
        var shape = Hasher()
        let names = facts.reads.union(facts.writes.map(\.relation))
        for name in names.sorted(by: { ($0.schema ?? "", $0.name) < ($1.schema ?? "", $1.name) }) {
            let candidates = catalog.relations(named: name, path: path)
            guard !candidates.isEmpty else { return nil }
            shape.combine(Set(candidates.map { catalog.shape(of: $0) }))
        }
        return shape.finalize()
    }

    private func kind(
        of facts: SyntaxFacts, _ scan: DependencyScan, _ profile: inout StatementProfile
    ) -> StatementProfile.Kind {
        profile.bypassReason = facts.bypassReason ?? scan.bypassReason ?? .notARead
        switch facts.kind {
        case .definition:
            profile.writeSet = .everythingAndCatalog
            if catalog.eventTriggerBehaviour.contains(.leavesState) || path.namesTemporarySchema {
                profile.taintsSession = true
                profile.sessionEffects.append(.unknown)
            }
            profile.sessionEffects += catalog.eventTriggerBehaviour.behaviour.sessionEffects
            return .write
        case .temporaryObject:
            profile.taintsSession = true
            profile.sessionEffects.append(.makeTemporaryObject)
            profile.sessionEffects += catalog.eventTriggerBehaviour.behaviour.sessionEffects
            return .write
        case .dataModification:
            return .write
        case .query, .harmless, .transaction, .setting, .locking, .opaque:
            if scan.behaviour.contains(.mayWrite) { return .opaque }
            if profile.writeSet != .nothing || !facts.writes.isEmpty { return .write }
            if scan.behaviour.contains(.leavesState) { return .setting(.unknown) }
            if facts.takesRowLocks || scan.behaviour.contains(.takesLocks) { return .locking }
            return facts.kind == .harmless ? .harmless : .read
        }
    }

    private func bypassReason(
        of facts: SyntaxFacts, _ scan: DependencyScan, _ parameterTypes: [UInt32]
    ) -> BypassReason? {
        if let reason = facts.bypassReason ?? scan.bypassReason { return reason }
        if scan.relations.isEmpty { return .noRelation }
        let parameters = parameterTypes.reduce(into: PostgreSQLCatalog.TimeUse()) {
            $0.formUnion(catalog.timeUse(ofType: $1))
        }
        let inPlay = scan.timeUse.union(parameters)
        if scan.hasRelativeTimeLiteral, inPlay.contains(.any) { return .relativeTimeLiteral }
        // Both conversions take the time zone's offset of the current day.
        if inPlay.contains(.zonedTimeOfDay) { return .currentTimeOrUser }
        if inPlay.contains(.timeOfDay), scan.convertsTimeZone { return .currentTimeOrUser }
        return nil
    }
}
