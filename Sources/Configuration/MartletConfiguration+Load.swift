import FoundationEssentials
import Logging
import Pipeline

extension MartletConfiguration {
    package static let standardFile = "config/martlet.yaml"

    /// Reads the settings of this process.
    /// - Parameters:
    ///   - path: the YAML file; without it the one that `MARTLET_CONFIG` names, or `config/martlet.yaml` where
    ///     there is one.
    /// - Throws: ``ConfigurationError`` with everything that is wrong, each with its place.
    package static func load(
        path: String? = nil, environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(ConfigurationError) -> MartletConfiguration {
        let named = path ?? environment["MARTLET_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
        let file = named ?? (TextFile.exists(standardFile) ? standardFile : nil)
        guard let file else { return try assemble(yaml: nil, file: nil, environment: environment) }
        let text = try TextFile.read(file, maximumBytes: YAMLDocument.maximumBytes)
        return try parse(yaml: text, file: file, environment: environment)
    }

    /// As ``load(path:environment:)``, with the YAML given.
    package static func parse(
        yaml: String, file: String, environment: [String: String] = [:]
    ) throws(ConfigurationError) -> MartletConfiguration {
        try assemble(yaml: try YAMLDocument.parse(yaml, file: file), file: file, environment: environment)
    }

    private static func assemble(
        yaml: YAMLNode?, file: String?, environment: [String: String]
    ) throws(ConfigurationError) -> MartletConfiguration {
        let yamlFile = file ?? standardFile
        let shape = ProblemList(file: yamlFile)
        if let yaml { SettingsShape.check(yaml, problems: shape) }
        // The stack's file is where the other layers say the state is.
        let first = SettingSources(environment: environment, yaml: yaml, yamlFile: yamlFile)
        let stackPath = StackFile.path(state: first.value(.state)?.text ?? Paths().state)
        var stack: [String: StackFile.Entry] = [:]
        if TextFile.exists(stackPath) {
            stack = try StackFile.parse(
                try TextFile.read(stackPath, maximumBytes: StackFile.maximumBytes), file: stackPath)
        }
        let sources = SettingSources(
            environment: environment, yaml: yaml, yamlFile: yamlFile, stack: stack, stackPath: stackPath)
        var configuration = MartletConfiguration(sources)
        configuration.file = file
        configuration.unknownVariables = unknown(in: environment, webhooks: configuration.notify.webhooks)
        let problems = shape.sorted + sources.problems
        guard problems.isEmpty else { throw ConfigurationError(.invalid, problems) }
        return configuration
    }

    private init(_ sources: SettingSources) {
        amqp = sources.url(.amqpURL, schemes: ["amqp", "amqps"])
        amqpManagement = sources.url(.amqpManagementURL, schemes: ["http", "https"])
        redis = sources.url(.redisURL, schemes: ["redis", "rediss", "unix"], needsHost: false)
        postgres = sources.url(.postgresURL, schemes: ["postgresql", "postgres"], needsHost: false)
        s3 = Self.s3(sources)
        mlflow = sources.url(.mlflowURL, schemes: ["http", "https"])
        mlflowToken = sources.secret(.mlflowToken)
        paths.pipelines = sources.text(.pipelines, standard: paths.pipelines) ?? paths.pipelines
        paths.state = sources.text(.state, standard: paths.state) ?? paths.state
        paths.python = sources.text(.python)
        log.level = sources.choice(.logLevel, standard: log.level)
        log.format = sources.choice(.logFormat, standard: log.format)
        http = sources.parsed(
            .http, standard: http, shown: \.description, expected: "an address such as 127.0.0.1:9090",
            parse: { HTTPAddress($0) })
        scheduler = Self.scheduler(sources)
        workerGrace = sources.duration(.grace, standard: workerGrace, in: 0...86_400)
        ingest = IngestSettings(sources, storage: s3.endpoint).ingest
        notify = NotifySettings(sources).notify
        linksBase = sources.url(.linksBase, schemes: ["http", "https"])
        gateway = GatewaySettings(sources).gateway
        serving = ServingSettings(sources).serving
        effective = sources.effective
    }

    private static func s3(_ sources: SettingSources) -> S3 {
        var s3 = S3()
        s3.endpoint = sources.url(.s3Endpoint, schemes: ["http", "https"])
        s3.region = sources.text(.s3Region, standard: s3.region) ?? s3.region
        s3.accessKeyID = sources.text(.s3AccessKeyID)
        s3.secretAccessKey = sources.secret(.s3SecretAccessKey)
        s3.bucket = sources.parsed(
            .s3Bucket, standard: s3.bucket, shown: \.self,
            expected: "the name of a bucket: 3 to 63 lower-case letters, digits, dots and dashes"
        ) { text in
            let isPlain = text.utf8.allSatisfy { byte in
                (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D || byte == 0x2E
            }
            return isPlain && (3...63).contains(text.utf8.count) ? text : nil
        }
        s3.addressing = sources.choice(.s3Addressing, standard: s3.addressing)
        if s3.accessKeyID != nil, s3.secretAccessKey == nil, let value = sources.value(.s3AccessKeyID) {
            sources.report(
                "s3.access_key_id is set but s3.secret_access_key is not: set \(SettingKey.s3SecretAccessKey.variable) "
                    + "or \(SettingKey.s3SecretAccessKey.variable)_FILE", at: value.origin)
        }
        if s3.secretAccessKey != nil, s3.accessKeyID == nil, let value = sources.value(.s3SecretAccessKey) {
            sources.report(
                "s3.secret_access_key is set but s3.access_key_id is not: set \(SettingKey.s3AccessKeyID.variable)",
                at: value.origin)
        }
        return s3
    }

    private static func scheduler(_ sources: SettingSources) -> Scheduler {
        var scheduler = Scheduler()
        scheduler.eventBatch = sources.count(.eventBatch, standard: scheduler.eventBatch, in: 1...10_000)
        scheduler.resultBatch = sources.count(.resultBatch, standard: scheduler.resultBatch, in: 1...10_000)
        scheduler.dispatchBatch = sources.count(.dispatchBatch, standard: scheduler.dispatchBatch, in: 1...10_000)
        scheduler.windowFactor = sources.number(.windowFactor, standard: scheduler.windowFactor, in: 1...1_000)
        scheduler.reconcileInterval = sources.duration(
            .reconcileInterval, standard: scheduler.reconcileInterval, in: 0.1...3_600)
        scheduler.lease = sources.duration(.lease, standard: scheduler.lease, in: 1...3_600)
        scheduler.heartbeat = sources.duration(.heartbeat, standard: scheduler.heartbeat, in: 0.1...1_800)
        if scheduler.heartbeat * 2 > scheduler.lease {
            let origin = sources.value(.heartbeat)?.origin ?? sources.value(.lease)?.origin ?? .standard
            sources.report(
                "a heartbeat every \(NumberText.duration(seconds: scheduler.heartbeat)) is too slow for a lease of "
                    + "\(NumberText.duration(seconds: scheduler.lease)): let at least two fit into one lease",
                at: origin)
        }
        return scheduler
    }

    private static func unknown(
        in environment: [String: String], webhooks: [Webhook]
    ) -> [(name: String, suggestion: String?)] {
        let keys = SettingKey.all + webhooks.map { SettingKey.webhookSecret($0.name) }
        let known = keys.map(\.variable) + keys.map { $0.variable + "_FILE" } + ["MARTLET_CONFIG"]
        return environment.filter { $0.key.hasPrefix("MARTLET_") && !$0.value.isEmpty && !known.contains($0.key) }
            .keys.sorted().map { ($0, Suggestion.nearest(to: $0, in: known)) }
    }
}
