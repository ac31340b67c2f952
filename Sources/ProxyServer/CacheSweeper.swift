import NIOCore
import ResultCache
import ServiceLifecycle

/// Removes, slowly, entries that nobody asks for any more and that have expired or been
/// invalidated. Correctness does not depend on it: it gives their memory back sooner.
struct CacheSweeper: Service {
    let cache: ReplyCache

    private static let interval: Duration = .milliseconds(500)
    /// Entries looked at per interval: at a few hundred nanoseconds each, well below one per cent
    /// of a core.
    private static let budget = 8192

    func run() async throws {
        try? await withGracefulShutdownHandlerCancelling {
            while !Task.isCancelled {
                try await Task.sleep(for: Self.interval)
                _ = cache.sweep(
                    now: NIODeadline.now().uptimeNanoseconds, budget: Self.budget)
            }
        }
    }
}

/// Runs `body` and cancels it when a graceful shutdown begins.
func withGracefulShutdownHandlerCancelling(
    _ body: @escaping @Sendable () async throws -> Void
) async throws {
    let task = Task(operation: body)
    try await withTaskCancellationOrGracefulShutdownHandler {
        try await task.value
    } onCancelOrGracefulShutdown: {
        task.cancel()
    }
}
