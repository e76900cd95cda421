package import Logging

/// The settings of one process: `config/martlet.yaml`, over it what the local stack says of itself, over that the
/// environment. Every member has a value that works or is nil.
package struct MartletConfiguration: Sendable {
    package struct S3: Hashable, Sendable {
        package enum Addressing: String, Hashable, Sendable, CaseIterable {
            /// `endpoint/bucket/key`
            case path
            /// `bucket.endpoint/key`
            case virtualHost = "virtual-host"
        }

        /// Nil for Amazon's own.
        package var endpoint: ServiceURL?
        package var region = "us-east-1"
        /// Nil, and then the secret as well, for the key that other tools take: AWS_ACCESS_KEY_ID.
        package var accessKeyID: String?
        package var secretAccessKey: Secret?
        package var bucket = "martlet"
        package var addressing = Addressing.path
    }

    package struct Paths: Hashable, Sendable {
        /// The folder of pipelines.
        package var pipelines = "config/pipelines"
        /// Where the local stack keeps its data.
        package var state = ".martlet"
        /// The Python environment of the stages; nil for the one that Martlet makes itself.
        package var python: String?
    }

    package struct Log: Hashable, Sendable {
        package enum Format: String, Hashable, Sendable, CaseIterable {
            /// Text on a terminal, JSON elsewhere.
            case auto
            case text
            case json
        }

        package var level = Logger.Level.info
        package var format = Format.auto
    }

    package struct Scheduler: Hashable, Sendable {
        /// Events taken in one transaction.
        package var eventBatch = 200
        /// Results taken in one transaction.
        package var resultBatch = 500
        /// Tasks dispatched in one transaction.
        package var dispatchBatch = 500
        /// Tasks of a pool that may be in the broker, as a multiple of its slots.
        package var windowFactor = 2.0
        /// Seconds between two looks of the reconciler.
        package var reconcileInterval = 5.0
        /// Seconds that a claim lives without a heartbeat.
        package var lease = 30.0
        /// Seconds between two heartbeats.
        package var heartbeat = 5.0
    }

    /// What the sources of an ingest may be; events cannot widen it.
    package struct Ingest: Hashable, Sendable {
        /// Addresses and networks (`127.0.0.0/8`) that HTTP sources may come from although they are on loopback. Where
        /// the object store itself is on loopback, everything runs on this machine, and loopback is the default.
        package var allowAddresses: [String] = []
        /// Absolute folders that `file://` sources must lie in; empty for any.
        package var fileRoots: [String] = []
    }

    package struct Webhook: Hashable, Sendable {
        /// Unique; receivers of a notify stage are named by it.
        package var name: String
        package var url: ServiceURL
        /// Signs the body; nil for a receiver that does not check.
        package var secret: Secret?
    }

    package struct SMTP: Hashable, Sendable {
        package enum Security: String, Hashable, Sendable, CaseIterable {
            case starttls
            case tls
            case none
        }

        package var host: String
        package var port = 587
        package var security = Security.starttls
        package var username: String?
        package var password: Secret?
        package var from: String
        package var to: [String]
    }

    package struct Notify: Hashable, Sendable {
        package var webhooks: [Webhook] = []
        /// An incoming webhook of Slack or of something compatible; the URL itself is a secret.
        package var slack: Secret?
        package var smtp: SMTP?
        /// Addresses and networks (`127.0.0.1`, `10.0.0.0/8`) that webhooks may go to although they are not public.
        package var allowAddresses: [String] = []
    }

    package var amqp: ServiceURL?
    /// RabbitMQ's management API, where it can be asked for more than AMQP tells; nil for not at all.
    package var amqpManagement: ServiceURL?
    package var redis: ServiceURL?
    package var postgres: ServiceURL?
    package var s3 = S3()
    package var mlflow: ServiceURL?
    package var mlflowToken: Secret?
    package var paths = Paths()
    package var log = Log()
    /// Where a long-lived process serves health and metrics. Port 0 takes any free one.
    package var http = HTTPAddress(host: "127.0.0.1", port: 0)
    package var scheduler = Scheduler()
    /// Seconds that a worker may take to stop.
    package var workerGrace = 30.0
    package var ingest = Ingest()
    package var notify = Notify()
    package var gateway = Gateway()
    package var serving = Serving()
    /// What links in notifications begin with; nil for no links.
    package var linksBase: ServiceURL?

    /// Every setting in force and where it comes from, in the order of the reference.
    package var effective: [EffectiveSetting] = []
    /// The YAML file that was read, if one was.
    package var file: String?
    /// `MARTLET_…` variables that mean nothing here, with what was probably meant.
    package var unknownVariables: [(name: String, suggestion: String?)] = []

    package init() {}
}

extension MartletConfiguration: CustomStringConvertible {
    /// The settings in force as a table, secrets hidden.
    package var description: String {
        let keyWidth = effective.map(\.key.count).max() ?? 0
        let valueWidth = min(60, effective.map(\.value.count).max() ?? 0)
        func pad(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(0, width - text.count))
        }
        return effective.map { "\(pad($0.key, keyWidth))  \(pad($0.value, valueWidth))  \($0.origin)" }
            .joined(separator: "\n")
    }
}
