/// One scalar setting: where it stands in the YAML file and which variable overrides it.
struct SettingKey: Hashable, Sendable {
    /// The path in the YAML file, with dots.
    let path: String
    let variable: String

    init(_ path: String, variable: String? = nil) {
        self.path = path
        let derived = path.uppercased().map { $0 == "." ? "_" : String($0) }.joined()
        self.variable = variable ?? "MARTLET_" + derived
    }

    static let amqpURL = SettingKey("amqp.url")
    static let amqpManagementURL = SettingKey("amqp.management_url")
    static let redisURL = SettingKey("redis.url")
    static let postgresURL = SettingKey("postgres.url")
    static let s3Endpoint = SettingKey("s3.endpoint")
    static let s3Region = SettingKey("s3.region")
    static let s3AccessKeyID = SettingKey("s3.access_key_id")
    static let s3SecretAccessKey = SettingKey("s3.secret_access_key")
    static let s3Bucket = SettingKey("s3.bucket")
    static let s3Addressing = SettingKey("s3.addressing")
    static let mlflowURL = SettingKey("mlflow.url")
    static let mlflowToken = SettingKey("mlflow.token")
    static let pipelines = SettingKey("paths.pipelines", variable: "MARTLET_PIPELINES")
    static let state = SettingKey("paths.state", variable: "MARTLET_STATE")
    static let python = SettingKey("paths.python", variable: "MARTLET_PYTHON")
    static let logLevel = SettingKey("log.level")
    static let logFormat = SettingKey("log.format")
    static let http = SettingKey("http.address", variable: "MARTLET_HTTP")
    static let eventBatch = SettingKey("scheduler.event_batch")
    static let resultBatch = SettingKey("scheduler.result_batch")
    static let dispatchBatch = SettingKey("scheduler.dispatch_batch")
    static let windowFactor = SettingKey("scheduler.window_factor")
    static let reconcileInterval = SettingKey("scheduler.reconcile_interval")
    static let lease = SettingKey("scheduler.lease")
    static let heartbeat = SettingKey("scheduler.heartbeat")
    static let grace = SettingKey("worker.grace")
    static let ingestAddresses = SettingKey("ingest.allow_addresses")
    static let ingestRoots = SettingKey("ingest.file_roots")
    static let slack = SettingKey("notify.slack")
    static let allowAddresses = SettingKey("notify.allow_addresses")
    static let smtpHost = SettingKey("notify.smtp.host")
    static let smtpPort = SettingKey("notify.smtp.port")
    static let smtpSecurity = SettingKey("notify.smtp.security")
    static let smtpUsername = SettingKey("notify.smtp.username")
    static let smtpPassword = SettingKey("notify.smtp.password")
    static let smtpFrom = SettingKey("notify.smtp.from")
    static let smtpTo = SettingKey("notify.smtp.to")
    static let linksBase = SettingKey("links.base")
    static let gatewayAddress = SettingKey("gateway.address")
    static let gatewayThreads = SettingKey("gateway.threads")
    static let gatewayKeys = SettingKey("gateway.keys")
    static let gatewayMaximumBody = SettingKey("gateway.max_body")
    static let gatewayBatchRequests = SettingKey("gateway.batch_requests")
    static let gatewayCoalescing = SettingKey("gateway.coalescing")
    static let gatewayAnswerCache = SettingKey("gateway.answer_cache_mib")
    static let gatewayHedgeAfter = SettingKey("gateway.hedge_after")
    static let gatewayUpstreamKey = SettingKey("gateway.upstream_key")
    static let gatewayGrace = SettingKey("gateway.grace")
    static let servingHost = SettingKey("serving.host")
    static let servingPython = SettingKey("serving.python")
    static let servingArguments = SettingKey("serving.arguments")
    static let servingCommand = SettingKey("serving.command")
    static let servingMaximumInFlight = SettingKey("serving.max_in_flight")
    static let servingCache = SettingKey("serving.cache_gib")
    static let servingEngineCores = SettingKey("serving.engine_cores")

    static let all: [SettingKey] = [
        amqpURL, amqpManagementURL, redisURL, postgresURL, s3Endpoint, s3Region, s3AccessKeyID, s3SecretAccessKey,
        s3Bucket, s3Addressing,
        mlflowURL, mlflowToken, pipelines, state, python, logLevel, logFormat, http, eventBatch, resultBatch,
        dispatchBatch, windowFactor, reconcileInterval, lease, heartbeat, grace, ingestAddresses, ingestRoots, slack,
        allowAddresses, smtpHost,
        smtpPort, smtpSecurity, smtpUsername, smtpPassword, smtpFrom, smtpTo, linksBase,
        gatewayAddress, gatewayThreads, gatewayKeys, gatewayMaximumBody, gatewayBatchRequests, gatewayCoalescing,
        gatewayAnswerCache, gatewayHedgeAfter,
        gatewayUpstreamKey,
        gatewayGrace,
        servingHost, servingPython, servingArguments, servingCommand, servingMaximumInFlight, servingCache,
        servingEngineCores,
    ]

    /// Those that are a list in YAML and commas in the environment.
    static let lists: Set<SettingKey> = [
        .allowAddresses, .smtpTo, .ingestAddresses, .ingestRoots, .servingArguments, .servingCommand,
    ]

    /// The YAML file's lists of mappings.
    static let webhooks = "notify.webhooks"
    static let replicas = "gateway.replicas"
    static let prices = "gateway.prices"

    /// The variable of a webhook's secret: `MARTLET_NOTIFY_WEBHOOK_ON_CALL_SECRET` for `on-call`.
    static func webhookSecret(_ name: String) -> SettingKey {
        let spelled = name.uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
        return SettingKey("notify.webhooks.\(name).secret", variable: "MARTLET_NOTIFY_WEBHOOK_\(spelled)_SECRET")
    }
}
