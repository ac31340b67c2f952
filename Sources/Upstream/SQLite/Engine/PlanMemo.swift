import SQLAnalysis
import Synchronization

/// Plans by their text, shared by all sessions.
final class PlanMemo: Sendable {
    private struct State {
        var plans: [ExactText: StatementPlan] = [:]
        var previous: [ExactText: StatementPlan] = [:]
    }

    private static let longestText = 32 << 10

    private let capacity: Int
    private let state = Mutex(State())

    init(capacity: Int) {
        self.capacity = max(2, capacity)
    }

    /// The plan of `source` for the schema of that version; nil where there is none.
    func plan(of source: String, schemaVersion: Int64) -> StatementPlan? {
        state.withLock { state in
            if let plan = state.plans[source] {
                return plan.schemaVersion == schemaVersion ? plan : nil
            }
            guard let plan = state.previous[source], plan.schemaVersion == schemaVersion else {
                return nil
            }
            insert(plan, &state)
            return plan
        }
    }

    func remember(_ plan: StatementPlan) {
        // A long text is mostly values that will not come again.
        guard plan.source.utf8.count <= Self.longestText else { return }
        state.withLock { insert(plan, &$0) }
    }

    /// Two generations: what was not asked for during a whole one is forgotten.
    private func insert(_ plan: StatementPlan, _ state: inout State) {
        if state.plans.count >= capacity / 2 {
            state.previous = state.plans
            state.plans = [:]
        }
        state.plans[plan.source] = plan
    }
}
