import Logging
import NIOCore
import ResultCache
import ServiceLifecycle
import Session
import Telemetry

/// Looks whether the upstream is there, where answers may be given without it
/// (`cache.stale_if_error`).
struct AbsenceWatch: Service {
    let services: SessionServices
    let logger: Logger

    private static let interval: Duration = .milliseconds(250)

    func run() async throws {
        try? await withGracefulShutdownHandlerCancelling {
            while !Task.isCancelled {
                try await Task.sleep(for: Self.interval)
                guard services.absence.allowance != 0 else { continue }
                note(isAway: await !isThere())
            }
        }
    }

    /// A mirror's upstream is the node that it follows, of which its lease tells.
    private func isThere() async -> Bool {
        if services.right.isFollowing {
            return services.right.deadline > NIODeadline.now().uptimeNanoseconds
        }
        return (try? await services.upstream.checkReachable()) != nil
    }

    private func note(isAway: Bool) {
        let now = NIODeadline.now().uptimeNanoseconds
        guard services.absence.note(isAway: isAway, now: now) else { return }
        if isAway {
            logger.warning(
                "the upstream is away: reads may be answered with what is no longer certain",
                metadata: ["at most": "\(services.absence.allowance / 1_000_000) ms"])
        } else {
            logger.notice("the upstream is there again")
        }
    }
}
