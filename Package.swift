// swift-tools-version: 6.2
import PackageDescription

/// Set once for every target: the rules of STYLE are compiler settings, not habits.
let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let log: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let niohttp: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
    .product(name: "NIOHTTP1", package: "swift-nio"),
]

func library(
    _ name: String, _ dependencies: [Target.Dependency] = [], path: String? = nil,
    exclude: [String] = [], resources: [Resource] = []
) -> Target {
    .target(
        name: name, dependencies: dependencies, path: path, exclude: exclude,
        resources: resources, swiftSettings: settings)
}

func tests(
    _ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []
) -> Target {
    .testTarget(name: name, dependencies: dependencies, resources: resources, swiftSettings: settings)
}

let package = Package(
    name: "martlet",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "martlet", targets: ["martlet"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
    ],
    targets: [
        // System libraries: each is imported by exactly one client target.
        .systemLibrary(name: "CLinux"),
        .systemLibrary(name: "CRabbitMQ", pkgConfig: "librabbitmq", providers: [.apt(["librabbitmq-dev"])]),
        .systemLibrary(name: "CHiredis", pkgConfig: "hiredis", providers: [.apt(["libhiredis-dev"])]),
        .systemLibrary(name: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),

        // Clients: one C library each; they know nothing of pipelines.
        library("SocketExecutor", ["CLinux"]),
        library("AMQPClient", ["CRabbitMQ", "SocketExecutor", log]),
        library("RedisClient", ["CHiredis", "SocketExecutor", log, crypto]),
        library("PostgresClient", ["CPostgres", "SocketExecutor", log]),
        library("HTTPTransport", ["CCurl", log]),
        library("ObjectStorage", ["HTTPTransport", log, crypto]),
        library("MLflowClient", ["HTTPTransport", log]),
        library("Telemetry", [log, metrics] + niohttp),

        // The domain: values and rules, no I/O.
        library("Pipeline"),
        library("Configuration", ["Pipeline", yams, log]),

        // The domain on its stores.
        library("Ledger", ["Pipeline", "PostgresClient", log, crypto], resources: [.embedInCode("SQL")]),
        library("Coordination", ["Pipeline", "RedisClient", log], resources: [.embedInCode("Lua")]),
        library("Broker", ["Pipeline", "AMQPClient", log]),

        // The two loops.
        library(
            "Scheduler",
            [
                "Pipeline", "Ledger", "Coordination", "Broker", "Telemetry", "PostgresClient", "AMQPClient",
                "RedisClient", log, metrics,
            ]),
        library(
            "WorkerRuntime",
            ["Pipeline", "Coordination", "Broker", "Telemetry", "AMQPClient", "ObjectStorage", log, metrics, crypto]),

        // Serving.
        library("HTTPWire", ["CLinux"]),
        library(
            "Gateway",
            [
                "Pipeline", "Ledger", "Coordination", "PostgresClient", "HTTPTransport", "HTTPWire", "CLinux", log,
                metrics, crypto,
            ]
                + [
                    .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
                ]),

        library(
            "Batches",
            ["Pipeline", "Ledger", "ObjectStorage", "HTTPTransport", "Gateway", "CLinux", log, crypto]),

        // The stages.
        library(
            "StageSupport",
            [
                "Pipeline", "WorkerRuntime", "ObjectStorage", "HTTPTransport", "MLflowClient", "ChildProcess", log,
                crypto,
            ], path: "Sources/Stages/Support"),
        library(
            "IngestStage",
            ["Pipeline", "StageSupport", "WorkerRuntime", "ObjectStorage", "HTTPTransport", log, crypto],
            path: "Sources/Stages/Ingest"),
        library(
            "ModelStages", ["Pipeline", "StageSupport", "WorkerRuntime", "ObjectStorage", "MLflowClient", log, crypto],
            path: "Sources/Stages/Model"),
        library(
            "RegisterStage",
            ["Pipeline", "StageSupport", "WorkerRuntime", "ObjectStorage", "MLflowClient", "Ledger", log],
            path: "Sources/Stages/Register"),
        library(
            "NotifyStage",
            ["Pipeline", "StageSupport", "WorkerRuntime", "HTTPTransport", "Ledger", log, metrics, crypto],
            path: "Sources/Stages/Notify"),

        library(
            "ModelServer",
            [
                "Pipeline", "StageSupport", "Coordination", "MLflowClient", "ObjectStorage", "HTTPTransport",
                "ChildProcess", "LocalStack", log,
            ]),

        library(
            "Rollouts",
            [
                "Pipeline", "Ledger", "Coordination", "MLflowClient", "ObjectStorage", "HTTPTransport", "StageSupport",
                log,
            ]),

        // The servers of a machine without containers, for `martlet up` and for the tests.
        library("ChildProcess", ["CLinux"]),
        library("LocalStack", ["ChildProcess", log]),
        library("TestServers", ["LocalStack", "ChildProcess", log], path: "Tests/Support/TestServers"),
        library(
            "TestFleet",
            [
                "AMQPClient", "Broker", "Coordination", "HTTPTransport", "Ledger", "ObjectStorage", "Pipeline",
                "PostgresClient", "RedisClient", "Scheduler", "WorkerRuntime", "TestServers", log,
            ], path: "Tests/Support/TestFleet"),
        library(
            "TestPeers",
            [.product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio")],
            path: "Tests/Support/TestPeers"),
        tests("ChildProcessTests", ["ChildProcess"]),
        tests("RolloutsTests", ["Rollouts", "Pipeline"]),
        tests("HTTPWireTests", ["HTTPWire", .product(name: "NIOEmbedded", package: "swift-nio")] + niohttp),
        tests(
            "GatewayTests",
            [
                "Gateway", "HTTPWire", "Ledger", "Pipeline", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"), "TestPeers", "ChildProcess", "Telemetry", log, crypto,
            ]),
        tests(
            "GatewayIntegrationTests",
            [
                "Gateway", "TestPeers", "TestServers", "LocalStack", "Ledger", "Coordination", "PostgresClient",
                "RedisClient", "HTTPTransport", "Pipeline", "Batches", "ObjectStorage", log, crypto,
            ]),
        tests("BatchesTests", ["Batches", "Pipeline"]),
        tests("PipelineTests", ["Pipeline"]),
        tests("IngestStageTests", ["IngestStage", "Pipeline", crypto]),
        tests(
            "StageIntegrationTests",
            [
                "IngestStage", "ModelStages", "RegisterStage", "NotifyStage", "StageSupport", "WorkerRuntime",
                "Rollouts", "ModelServer", "Coordination", "RedisClient", "Configuration", "Pipeline", "Ledger",
                "PostgresClient", "ObjectStorage", "MLflowClient",
                "HTTPTransport", "ChildProcess", "LocalStack", "TestServers", "TestPeers", log, crypto,
            ], resources: [.copy("Peers")]),
        tests("ConfigurationTests", ["Configuration", "Pipeline", log]),
        tests(
            "TelemetryTests",
            [
                "Telemetry", "Scheduler", "WorkerRuntime", "NotifyStage", "Coordination", "Ledger", "Pipeline",
                "ChildProcess", "Gateway", log, metrics,
            ]),
        tests("AMQPClientTests", ["AMQPClient", "SocketExecutor", log]),
        tests("AMQPClientIntegrationTests", ["AMQPClient", "TestServers", "LocalStack", "ChildProcess", log]),
        tests("ObjectStorageTests", ["ObjectStorage", "HTTPTransport", log, crypto]),
        tests(
            "ObjectStorageIntegrationTests",
            ["ObjectStorage", "HTTPTransport", "TestServers", "LocalStack", "ChildProcess", log, crypto]),
        tests("MLflowClientTests", ["MLflowClient", log]),
        tests("MLflowClientIntegrationTests", ["MLflowClient", "HTTPTransport", "TestServers", log]),
        tests("HTTPTransportTests", ["HTTPTransport"]),
        tests("HTTPTransportIntegrationTests", ["HTTPTransport", "TestServers", log], resources: [.copy("Peers")]),
        tests("PostgresClientTests", ["PostgresClient"]),
        tests("PostgresClientIntegrationTests", ["PostgresClient", "TestServers", "LocalStack", log]),
        tests("SchedulerTests", ["Scheduler", "Coordination", "Ledger", "Pipeline", "Telemetry", log]),
        tests(
            "StageSupportTests",
            ["StageSupport", "WorkerRuntime", "Pipeline", "ObjectStorage", "HTTPTransport", "TestServers", log]),
        tests("BrokerIntegrationTests", ["TestFleet", "AMQPClient", "Broker", "Pipeline", log]),
        tests(
            "SchedulerIntegrationTests",
            [
                "TestFleet", "AMQPClient", "Broker", "Coordination", "Ledger", "Pipeline", "Scheduler", "WorkerRuntime",
                log,
            ]),
        tests(
            "WorkerRuntimeIntegrationTests",
            [
                "TestFleet", "AMQPClient", "Broker", "Coordination", "Ledger", "ObjectStorage", "Pipeline", "Scheduler",
                "Telemetry", "WorkerRuntime", "TestServers", log,
            ]),
        tests("LedgerIntegrationTests", ["Ledger", "Pipeline", "PostgresClient", "TestServers", log]),
        tests(
            "CoordinationIntegrationTests",
            ["Coordination", "LocalStack", "Pipeline", "RedisClient", "TestServers", log]),
        tests("RedisClientTests", ["RedisClient"]),
        tests("RedisClientIntegrationTests", ["RedisClient", "TestServers", "LocalStack", log]),
        tests("LocalStackTests", ["LocalStack"]),
        tests("LocalStackIntegrationTests", ["LocalStack", "ChildProcess", "TestServers"]),

        // Real processes of the built program on real servers.
        tests(
            "FleetIntegrationTests",
            [
                "martlet", "ChildProcess", "HTTPTransport", "LocalStack", "ObjectStorage", "Pipeline", "PostgresClient",
                "RedisClient", "TestServers", crypto, log,
            ],
            resources: [.copy("Programs")]),

        .executableTarget(
            name: "martlet",
            dependencies: [
                "Pipeline", "Configuration", "Ledger", "Coordination", "Broker", "Scheduler", "WorkerRuntime",
                "Gateway", "Batches", "ModelServer", "Rollouts", "IngestStage", "ModelStages", "RegisterStage",
                "NotifyStage",
                "StageSupport",
                "ObjectStorage", "MLflowClient", "HTTPTransport", "Telemetry", "LocalStack", "ChildProcess",
                "AMQPClient", "RedisClient", "PostgresClient", arguments, log, metrics, crypto,
            ],
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
