import Logging
import Synchronization

/// Where all log messages of the process go: standard error, one line each.
enum ConsoleLog {
    // The level is the process's because the handlers are: swift-log makes them for every label,
    // and a reload of the configuration has to reach those that exist already.
    private static let threshold = Atomic<Int>(Logger.Level.info.ordinal)

    /// Makes `ConsoleLogHandler` the handler of every logger made from now on. Call once, first.
    static func install(level: Logger.Level) {
        self.level = level
        LoggingSystem.bootstrap { label in ConsoleLogHandler(label: label) }
    }

    /// The lowest level that is written, for all loggers without a level of their own; may be set
    /// at any time, from any thread.
    static var level: Logger.Level {
        get { Logger.Level.allCases[threshold.load(ordering: .relaxed)] }
        set { threshold.store(newValue.ordinal, ordering: .relaxed) }
    }
}

extension Logger.Level {
    fileprivate var ordinal: Int {
        Self.allCases.firstIndex(of: self) ?? 0
    }
}
