// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let package = Package(
    name: "bare",
    targets: [
        // The very module that Martlet's client stands on.
        .systemLibrary(name: "CRabbitMQ", pkgConfig: "librabbitmq", providers: [.apt(["librabbitmq-dev"])]),
        .executableTarget(name: "bare", dependencies: ["CRabbitMQ"], swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
