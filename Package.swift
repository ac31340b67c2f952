// swift-tools-version: 6.1
import PackageDescription

let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let lifecycle: Target.Dependency = .product(
    name: "ServiceLifecycle", package: "swift-service-lifecycle")

/// Swift's run-time exclusivity checks cost the data plane some four per cent. Debug builds, and so
/// the tests, keep them.
let dataPlane: [SwiftSetting] = [
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))
]

let package = Package(
    name: "mynah",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "mynah", targets: ["mynah"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    ],
    targets: [
        // System libraries, from Debian's -dev packages.
        .systemLibrary(name: "CPgQuery", providers: [.apt(["libpg-query-dev"])]),
        .systemLibrary(
            name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CPrctl"),

        // What everything counts into, and the faults that tests switch on.
        .target(name: "Telemetry"),
        .target(name: "Mutants"),

        // The pure parts: wire codec, statement analysis, cache and coherence, configuration.
        .target(
            name: "PostgresWire",
            dependencies: [
                nioCore,
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
            ], swiftSettings: dataPlane),
        .target(name: "SQLAnalysis", dependencies: ["CPgQuery", "Telemetry", "Mutants"]),
        .target(
            name: "ResultCache",
            dependencies: [
                "Mutants", nioCore, .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "DequeModule", package: "swift-collections"),
            ], swiftSettings: dataPlane),
        .target(
            name: "Security",
            dependencies: [
                "PostgresWire", "Telemetry", nioCore,
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
            ]),
        .target(
            name: "ProxyConfiguration",
            dependencies: [
                "CLibPQ", "SQLAnalysis", "Security", "PostgresWire", "Telemetry",
                .product(name: "TOMLKit", package: "TOMLKit"),
            ]),

        // The cache as a file.
        .target(
            name: "Snapshots",
            dependencies: [
                "ResultCache", nioCore, .product(name: "Crypto", package: "swift-crypto"),
            ]),

        // The database's side.
        .target(
            name: "Upstream",
            dependencies: [
                "CLibPQ", "CSQLite", "PostgresWire", "SQLAnalysis", "ResultCache", "Telemetry",
                nioCore, nioPosix, nioTLS, nioSSL, logging,
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Crypto", package: "swift-crypto"),
            ], swiftSettings: dataPlane),

        // The client's side.
        .target(
            name: "Session",
            dependencies: [
                "Upstream", "PostgresWire", "SQLAnalysis", "ResultCache", "Security", "Telemetry",
                "Mutants", nioCore, nioPosix, nioTLS, nioSSL, logging,
                .product(name: "DequeModule", package: "swift-collections"),
            ], swiftSettings: dataPlane),

        // More than one node: who is followed, who follows.
        .target(
            name: "Replication",
            dependencies: [
                "ResultCache", "Telemetry", "Mutants", nioCore, nioPosix, nioSSL, logging,
                lifecycle,
                .product(name: "Crypto", package: "swift-crypto"),
            ], swiftSettings: dataPlane),

        // HTTP: metrics and health.
        .target(
            name: "Operations",
            dependencies: [
                "Telemetry", logging, lifecycle,
                .product(name: "Hummingbird", package: "hummingbird"),
            ]),

        // Composition root and command line.
        .target(
            name: "ProxyServer",
            dependencies: [
                "CLibPQ", "CPrctl", "Session", "Snapshots", "Operations", "Replication", "Upstream",
                "PostgresWire",
                "ProxyConfiguration", "ResultCache", "Security", "Telemetry", nioCore, nioPosix,
                nioSSL, logging, lifecycle,
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]),
        .executableTarget(
            name: "mynah",
            dependencies: [
                "ProxyServer", "ProxyConfiguration", "Snapshots", "PostgresWire", logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),

        // What several test targets use; they cannot import one another.
        .target(name: "TestSupport", path: "Tests/TestSupport"),

        .testTarget(
            name: "OperationsTests", dependencies: ["Operations", "Telemetry", logging, lifecycle]),
        .testTarget(name: "mynahTests", dependencies: ["mynah", logging]),
        .testTarget(name: "TelemetryTests", dependencies: ["Telemetry", "TestSupport"]),
        .testTarget(
            name: "PostgresWireTests", dependencies: ["PostgresWire", "TestSupport", nioCore]),
        .testTarget(
            name: "SecurityTests",
            dependencies: [
                "Security", "PostgresWire", "Telemetry", "TestSupport", nioCore,
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
            ]),
        .testTarget(
            name: "SQLAnalysisTests",
            dependencies: ["SQLAnalysis", "Telemetry", "Mutants", "TestSupport"]),
        .testTarget(
            name: "ResultCacheTests",
            dependencies: ["ResultCache", "Mutants", "TestSupport", nioCore]),
        .testTarget(
            name: "SnapshotsTests", dependencies: ["Snapshots", "ResultCache", nioCore]),
        .testTarget(
            name: "ReplicationTests",
            dependencies: [
                "Replication", "ResultCache", "Telemetry", "Mutants", "TestSupport", nioCore,
                nioPosix, logging,
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "Crypto", package: "swift-crypto"),
            ]),
        .testTarget(
            name: "ProxyConfigurationTests",
            dependencies: ["ProxyConfiguration", "Security", "TestSupport"]),
        .testTarget(
            name: "UpstreamTests",
            dependencies: [
                "Upstream", "PostgresWire", "SQLAnalysis", "ResultCache", "Telemetry", "CSQLite",
                "CLibPQ", "TestSupport",
                nioCore, nioPosix, nioSSL, logging,
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ]),
        .testTarget(
            name: "SessionTests",
            dependencies: [
                "Session", "Upstream", "PostgresWire", "SQLAnalysis", "ResultCache", "Security",
                "Telemetry", "Mutants", nioCore, logging,
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ]),
        .testTarget(
            name: "SimulationTests",
            dependencies: [
                "Session", "Upstream", "PostgresWire", "SQLAnalysis", "ResultCache", "Telemetry",
                "Mutants", "TestSupport", nioCore, logging,
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ]),
    ],
    swiftLanguageModes: [.v6]
)
