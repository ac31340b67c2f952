import ResultCache
import SQLAnalysis

/// What there is to know, before any execution, about storing the replies of one statement: the
/// rules' decision and the cells. Derived once for each profile and version of the options.
final class FillPlan: Sendable {
    let decision: CacheDecision
    let cells: CellSet
    private let optionsVersion: UInt64

    private init(decision: CacheDecision, cells: CellSet, optionsVersion: UInt64) {
        self.decision = decision
        self.cells = cells
        self.optionsVersion = optionsVersion
    }

    /// The plan for the one statement of `profile`, which must be a cacheable one. `database` is
    /// the one that the profile was made for.
    static func plan(
        for profile: QueryProfile, text: String, database: String, services: SessionServices
    ) -> FillPlan {
        let version = services.optionsVersion
        if let known = profile.derived.withLock({ $0 }) as? FillPlan,
            known.optionsVersion == version
        {
            return known
        }
        let readSet = profile.statements.first?.readSet ?? []
        let cells = readSet.map {
            services.cells.cell(.all(database: database, relation: $0.identifier.rawValue))
        }
        let plan = FillPlan(
            decision: services.options.policy(readSet, text),
            cells: CellSet(
                cells + [
                    services.cells.cell(.cluster), services.cells.cell(.schema(database: database)),
                ]), optionsVersion: version)
        profile.derived.withLock { $0 = plan }
        return plan
    }
}
