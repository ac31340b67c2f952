/// Answers readiness questions from one check at a time, remembered for a short while, so that
/// probes can neither hammer the database nor pile up behind one that does not answer.
actor ReadinessProbe {
    private let check: @Sendable () async -> Readiness
    /// How long a result is repeated before the check runs again.
    private let freshness: Duration
    /// How long one caller waits for the check.
    private let timeout: Duration

    private var latest: (readiness: Readiness, at: ContinuousClock.Instant)?
    /// The check that runs now. It outlives callers that have given up on it, so that a check
    /// which hangs is not started a second time.
    private var running: Task<Void, Never>?
    private var waiters: [UInt64: CheckedContinuation<Readiness, Never>] = [:]
    private var nextWaiter: UInt64 = 0

    init(
        freshness: Duration = .seconds(1), timeout: Duration = .seconds(2),
        check: @escaping @Sendable () async -> Readiness
    ) {
        self.check = check
        self.freshness = freshness
        self.timeout = timeout
    }

    /// The result of a check at most `freshness` old, within `timeout`.
    func current() async -> Readiness {
        if let latest, latest.at.duration(to: .now) < freshness {
            return latest.readiness
        }
        if running == nil {
            running = Task { completed(await check()) }
        }
        let waiter = nextWaiter
        nextWaiter &+= 1
        let timer = Task {
            try? await Task.sleep(for: timeout)
            expire(waiter)
        }
        defer { timer.cancel() }
        return await withCheckedContinuation { waiters[waiter] = $0 }
    }

    /// How many callers wait now.
    var waiterCount: Int { waiters.count }

    private func completed(_ readiness: Readiness) {
        running = nil
        latest = (readiness, .now)
        let resumed = waiters
        waiters = [:]
        for continuation in resumed.values {
            continuation.resume(returning: readiness)
        }
    }

    private func expire(_ waiter: UInt64) {
        waiters.removeValue(forKey: waiter)?.resume(
            returning: .notReady(reason: "the upstream did not answer within \(timeout)"))
    }
}
