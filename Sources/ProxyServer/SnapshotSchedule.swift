import ServiceLifecycle

/// Writes snapshots at an interval.
struct SnapshotSchedule: Service {
    let keeper: SnapshotKeeper

    func run() async throws {
        let interval = keeper.settings.interval
        try? await withGracefulShutdownHandlerCancelling { [keeper] in
            while interval > .zero {
                try await Task.sleep(for: interval)
                await keeper.saveIfAnything()
            }
        }
    }
}
