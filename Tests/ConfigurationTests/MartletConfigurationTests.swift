import Configuration
import Foundation
import Logging
import Testing

@Suite(.timeLimit(.minutes(4))) struct MartletConfigurationTests {
    /// Without a local stack's file from the working directory.
    private func parse(_ yaml: String, _ environment: [String: String] = [:]) throws(ConfigurationError)
        -> MartletConfiguration
    {
        var environment = environment
        if environment["MARTLET_STATE"] == nil { environment["MARTLET_STATE"] = "/nowhere/state" }
        return try MartletConfiguration.parse(yaml: yaml, file: "m.yaml", environment: environment)
    }

    private func problems(_ yaml: String, _ environment: [String: String] = [:]) -> [String] {
        let text = refusal { () throws(ConfigurationError) in try parse(yaml, environment) }
        return text?.split(separator: "\n").map(String.init) ?? []
    }

    @Test func theFileThatIsShippedShowsTheDefaults() throws {
        let text = try String(contentsOfFile: repository + "/config/martlet.yaml", encoding: .utf8)
        let shipped = try parse(text)
        let standard = MartletConfiguration()
        #expect(shipped.scheduler == standard.scheduler && shipped.s3 == standard.s3 && shipped.log == standard.log)
        #expect(shipped.http == standard.http && shipped.workerGrace == standard.workerGrace)
        #expect(shipped.paths.pipelines == standard.paths.pipelines && shipped.notify == standard.notify)
        // What is commented out is good as well.
        let uncommented = text.split(separator: "\n", omittingEmptySubsequences: false).map { line -> String in
            guard
                let match = line.firstMatch(
                    of:
                        /^(\s*)# (amqp|redis|postgres|mlflow|links|  url|  management_url|  base|endpoint|access_key_id):/
                )
            else {
                return String(line)
            }
            return String(match.1) + String(line.dropFirst(match.1.count + 2))
        }.joined(separator: "\n")
        let full = try parse(uncommented, ["MARTLET_S3_SECRET_ACCESS_KEY": "s"])
        #expect(
            full.amqp?.value == "amqp://martlet@127.0.0.1:5672/"
                && full.linksBase?.value == "https://martlet.example.com")
        #expect(full.amqpManagement?.value == "http://127.0.0.1:15672")
        #expect(full.s3.accessKeyID == "martlet" && full.s3.endpoint?.value == "http://127.0.0.1:9000")
    }

    @Test func everyVariableOverridesTheFile() throws {
        let configuration = try parse(
            "amqp: {url: \"amqp://file/\"}\ns3: {bucket: from-file}\nlog: {level: error}",
            [
                "MARTLET_AMQP_URL": "amqps://u:p@h:5671/v", "MARTLET_REDIS_URL": "redis://:pw@h:6379/0",
                "MARTLET_POSTGRES_URL": "postgresql:///martlet?host=/run/pg", "MARTLET_S3_ENDPOINT": "http://h:9000",
                "MARTLET_S3_REGION": "eu-1", "MARTLET_S3_ACCESS_KEY_ID": "id", "MARTLET_S3_SECRET_ACCESS_KEY": "sk",
                "MARTLET_S3_BUCKET": "", "MARTLET_MLFLOW_URL": "http://h:5000", "MARTLET_PIPELINES": "/p",
                "MARTLET_STATE": "/s", "MARTLET_LOG_LEVEL": "DEBUG", "MARTLET_LOG_FORMAT": "json",
                "MARTLET_HTTP": ":9090",
                "MARTLET_SCHEDULER_LEASE": "1m", "MARTLET_NOTIFY_ALLOW_ADDRESSES": "127.0.0.1, ::1/128",
            ])
        #expect(configuration.amqp?.value == "amqps://u:p@h:5671/v")
        #expect(configuration.redis?.value == "redis://:pw@h:6379/0")
        #expect(configuration.postgres?.value == "postgresql:///martlet?host=/run/pg")
        let s3 = configuration.s3
        #expect(s3.endpoint?.value == "http://h:9000" && s3.region == "eu-1" && s3.accessKeyID == "id")
        #expect(s3.secretAccessKey?.value == "sk")
        #expect(s3.bucket == "from-file", "an empty variable is no value")
        #expect(configuration.mlflow?.value == "http://h:5000")
        #expect(configuration.paths.pipelines == "/p" && configuration.paths.state == "/s")
        #expect(configuration.log.level == .debug && configuration.log.format == .json)
        #expect(configuration.http == HTTPAddress(host: "127.0.0.1", port: 9090))
        #expect(configuration.scheduler.lease == 60)
        #expect(configuration.notify.allowAddresses == ["127.0.0.1", "::1/128"])
    }

    @Test func theLocalStackStandsBetweenFileAndEnvironment() throws {
        try withTemporaryFolder { folder in
            try StackFile.write(
                [
                    "MARTLET_AMQP_URL": "amqp://stack:s3cret@127.0.0.1:1/", "MARTLET_REDIS_URL": "redis://stack:1",
                    "MARTLET_OTHER": "x",
                ],
                to: StackFile.path(state: folder))
            let mode =
                try FileManager.default.attributesOfItem(atPath: folder + "/stack.env")[.posixPermissions] as? Int
            #expect(mode == 0o600)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["stack.env"])
            let configuration = try parse(
                "amqp: {url: \"amqp://file/\"}\nredis: {url: \"redis://file\"}\npaths: {state: \(folder)}",
                ["MARTLET_STATE": folder, "MARTLET_REDIS_URL": "redis://environment"])
            #expect(configuration.amqp?.value == "amqp://stack:s3cret@127.0.0.1:1/")
            #expect(configuration.redis?.value == "redis://environment")
            let amqp = try #require(configuration.effective.first { $0.key == "amqp.url" })
            #expect(
                amqp.value == "amqp://stack:••••••@127.0.0.1:1/" && amqp.origin.description == "\(folder)/stack.env:2")
            try write("export X\n", to: folder + "/stack.env")
            #expect(
                problems("", ["MARTLET_STATE": folder]).isEmpty == false)
            #expect(
                problems("{}", ["MARTLET_STATE": folder]) == [
                    "\(folder)/stack.env:1:1: this line is not KEY=VALUE: run martlet up again, or remove the file"
                ])
            #expect(
                refusal { () throws(ConfigurationError) in try StackFile.write(["A": "x\ny"], to: folder + "/e") }
                    != nil)
        }
    }

    @Test func secretsComeFromFilesToo() throws {
        try withTemporaryFolder { folder in
            try write("s3cret with spaces \n", to: folder + "/key")
            try write("", to: folder + "/empty")
            let key = "MARTLET_S3_SECRET_ACCESS_KEY"
            let configuration = try parse("s3: {access_key_id: id}", [key + "_FILE": folder + "/key"])
            #expect(configuration.s3.secretAccessKey?.value == "s3cret with spaces ")
            #expect(
                problems("{}", [key + "_FILE": folder + "/none"]) == [
                    "\(key)_FILE: the file \(folder)/none cannot be opened: No such file or directory"
                ])
            #expect(
                problems("{}", [key + "_FILE": folder + "/empty"]) == [
                    "\(key)_FILE: the file \(folder)/empty is empty: put the value of s3.secret_access_key in it"
                ])
            #expect(
                problems("{}", [key + "_FILE": folder + "/key", key: "x"]) == [
                    "\(key)_FILE: \(key) is set as well: keep one of the two"
                ])
        }
    }

    /// Without both the key of other tools is taken; half of one of its own is a mistake.
    @Test func aKeyIsWholeOrNotThere() throws {
        #expect(try parse("{}").s3.accessKeyID == nil)
        #expect(
            problems("{}", ["MARTLET_S3_SECRET_ACCESS_KEY": "x"]) == [
                "MARTLET_S3_SECRET_ACCESS_KEY: s3.secret_access_key is set but s3.access_key_id is not: set "
                    + "MARTLET_S3_ACCESS_KEY_ID"
            ])
    }

    @Test func nothingSecretIsEverShown() throws {
        let configuration = try parse(
            """
            notify:
              webhooks: [{name: on-call, url: "https://h.example/x?token=t0psecret&a=1"}]
            """,
            [
                "MARTLET_AMQP_URL": "amqp://u:t0psecret@h/", "MARTLET_REDIS_URL": "redis://:t0psec@ret@h",
                "MARTLET_POSTGRES_URL": "postgres://h/db?user=u&password=t0psecret", "MARTLET_S3_ACCESS_KEY_ID": "id",
                "MARTLET_S3_SECRET_ACCESS_KEY": "t0psecret", "MARTLET_MLFLOW_TOKEN": "t0psecret",
                "MARTLET_NOTIFY_SLACK": "https://hooks.example/t0psecret",
                "MARTLET_NOTIFY_WEBHOOK_ON_CALL_SECRET": "t0psecret",
                "MARTLET_NOTIFY_SMTP_PASSWORD": "t0psecret",
            ])
        var dumped = ""
        dump(configuration, to: &dumped)
        for text in [configuration.description, dumped, "\(configuration)", String(reflecting: configuration)] {
            #expect(!text.contains("t0p"), "\(text)")
        }
        #expect(configuration.notify.webhooks.first?.secret?.value == "t0psecret")
        #expect(configuration.description.contains("notify.webhooks.on-call.secret  set"))
        let bad = problems("{}", ["MARTLET_AMQP_URL": "http://u:t0psecret@h/", "MARTLET_MLFLOW_URL": "t0psecret"])
        #expect(
            bad == [
                "MARTLET_AMQP_URL: amqp.url has the scheme \"http\": use amqp or amqps",
                "MARTLET_MLFLOW_URL: mlflow.url must be a URL such as http://host",
            ])
    }

    @Test func faultsAreToldAllAtOnceWithTheirPlaces() {
        let yaml = """
            ampq: {url: x}
            s3:
              endpoint: localhost
              buckt: x
              bucket: My_Bucket
              access_key_id: id
            log: {level: loud}
            http: {address: "h:99999"}
            scheduler: {lease: 5s, heartbeat: 4s, event_batch: 0}
            worker: {grace: never}
            notify:
              webhooks:
                - {name: a, url: "ftp://x"}
                - {name: b, secret: x}
              allow_addresses: [10.0.0.0/33]
              smtp: {host: h}
            """
        #expect(
            problems(yaml) == [
                "m.yaml:1:1: the configuration has no key \"ampq\": did you mean \"amqp\"?",
                "m.yaml:4:3: s3 has no key \"buckt\": did you mean \"bucket\"?",
                "m.yaml:3:13: s3.endpoint must be a URL such as http://host",
                "m.yaml:5:11: s3.bucket must be the name of a bucket: 3 to 63 lower-case letters, digits, dots and dashes, "
                    + "not \"My_Bucket\"",
                "m.yaml:6:18: s3.access_key_id is set but s3.secret_access_key is not: set MARTLET_S3_SECRET_ACCESS_KEY or "
                    + "MARTLET_S3_SECRET_ACCESS_KEY_FILE",
                "m.yaml:7:14: log.level must be one of trace, debug, info, notice, warning, error, critical, not \"loud\"",
                "m.yaml:8:17: http.address must be an address such as 127.0.0.1:9090, not \"h:99999\"",
                "m.yaml:9:52: scheduler.event_batch must be a whole number from 1 to 10000, not \"0\"",
                "m.yaml:9:35: a heartbeat every 4.0s is too slow for a lease of 5.0s: let at least two fit into one lease",
                "m.yaml:10:17: worker.grace must be a length of time from 0ms to 1d 00h, such as 90s, 15m, 2h or a number "
                    + "of seconds, not \"never\"",
                "m.yaml:13:22: the url of the webhook \"a\" has the scheme \"ftp\": use https or http",
                "m.yaml:14:17: the secret of a webhook does not belong in this file: set "
                    + "MARTLET_NOTIFY_WEBHOOK_<NAME>_SECRET or …_SECRET_FILE",
                "m.yaml:16:16: notify.smtp.host is set, so notify.smtp.from must be a mail address",
                "m.yaml:15:20: notify.allow_addresses must be addresses or networks, such as 127.0.0.1 or 10.0.0.0/8, not "
                    + "\"10.0.0.0/33\"",
            ])
    }

    /// As after `set -a; . .martlet/stack.env`.
    @Test func whatTheStackSaysOfItselfMeansSomething() throws {
        let configuration = try parse("{}", ["MARTLET_AMQP_MANAGEMENT_URL": "http://u:p@127.0.0.1:15672"])
        #expect(configuration.unknownVariables.isEmpty)
        #expect(configuration.amqpManagement?.value == "http://u:p@127.0.0.1:15672")
    }

    @Test func misspeltVariablesAreNoticed() throws {
        let configuration = try parse(
            "{}", ["MARTLET_AMPQ_URL": "x", "MARTLET_S3_BUCKET_FILE": "", "MARTLET_EMPTY": "", "HOME": "/"])
        #expect(configuration.unknownVariables.map(\.name) == ["MARTLET_AMPQ_URL"])
        #expect(configuration.unknownVariables.first?.suggestion == "MARTLET_AMQP_URL")
    }

    @Test func whatIsNeededAndMissingSaysHowToSetIt() throws {
        let configuration = try parse("{}")
        #expect(
            refusal { () throws(ConfigurationError) in try configuration.requireAMQP() }
                == "m.yaml: amqp.url is not set: start the local stack with \"martlet up\", or set MARTLET_AMQP_URL")
        #expect(try parse("{}", ["MARTLET_REDIS_URL": "redis://h"]).requireRedis().value == "redis://h")
    }

    @Test func aNamedFileMustBeThere() {
        #expect(
            refusal { () throws(ConfigurationError) in
                try MartletConfiguration.load(environment: ["MARTLET_CONFIG": "/nowhere/m.yaml"])
            } == "/nowhere/m.yaml: cannot be opened: No such file or directory")
    }

    @Test(
        arguments: [
            ("9090", "127.0.0.1:9090"), (":0", "127.0.0.1:0"), ("0.0.0.0:80", "0.0.0.0:80"), ("[::1]:443", "[::1]:443"),
            ("::1:443", nil),
            ("h:", nil), ("h:70000", nil), ("[]:1", nil), ("a b:1", nil), ("", nil), ("h:-1", nil),
        ] as [(String, String?)])
    func addresses(_ text: String, _ expected: String?) {
        #expect(HTTPAddress(text)?.description == expected)
    }

    @Test(
        arguments: [
            ("amqp://u:p@h/v", "amqp://u:••••••@h/v"), ("amqp://h/v", "amqp://h/v"), ("redis://u@h", "redis://u@h"),
            ("redis://:p@h:1/0", "redis://:••••••@h:1/0"), ("amqp://u:p@ss@h", "amqp://u:••••••@h"),
            ("nonsense", "••••••"),
            ("postgres://h/d?sslmode=require&password=x", "postgres://h/d?sslmode=require&password=••••••"),
        ])
    func urlsAreShownWithoutPasswords(_ text: String, _ shown: String) {
        #expect(ServiceURL(text).description == shown)
    }
}
