import AMQPClient
import Testing

@Suite struct AMQPConfigurationTests {
    @Test func everyPartOfTheURLIsPercentDecoded() throws {
        let configuration = try AMQPConfiguration(
            url: "amqp://us%40er:p%3Aa%2Fss%25@broker.example:5673/my%2Fhost?heartbeat=7&connection_timeout=1500")
        #expect(configuration.host == "broker.example")
        #expect(configuration.port == 5673)
        #expect(configuration.username == "us@er")
        #expect(configuration.password == "p:a/ss%")
        #expect(configuration.virtualHost == "my/host")
        #expect(configuration.heartbeatSeconds == 7)
        #expect(configuration.connectTimeout == .milliseconds(1500))
        #expect(configuration.tls == nil)
    }

    @Test(arguments: [
        ("amqp://", "localhost", 5672, "guest", "/"),
        ("amqp://h", "h", 5672, "guest", "/"),
        ("amqp://h/", "h", 5672, "guest", "/"),
        ("amqp://h/%2F", "h", 5672, "guest", "/"),
        ("amqp://h/%2f", "h", 5672, "guest", "/"),
        ("amqps://h", "h", 5671, "guest", "/"),
        ("AMQP://a:b@h:1/v", "h", 1, "a", "v"),
        ("amqp://[::1]:5673/v", "::1", 5673, "guest", "v"),
        ("amqp://[fe80::1]", "fe80::1", 5672, "guest", "/"),
    ])
    func defaults(url: String, host: String, port: UInt16, user: String, virtualHost: String) throws {
        let configuration = try AMQPConfiguration(url: url)
        #expect(configuration.host == host)
        #expect(configuration.port == port)
        #expect(configuration.username == user)
        #expect(configuration.virtualHost == virtualHost)
    }

    @Test func tlsComesFromTheQuery() throws {
        let tls = try AMQPConfiguration(
            url: "amqps://h?cacertfile=/a%20b/ca.pem&certfile=c.pem&keyfile=k.pem&verify=verify_none"
        ).tls
        #expect(tls?.caCertificateFile == "/a b/ca.pem")
        #expect(tls?.clientCertificateFile == "c.pem")
        #expect(tls?.clientKeyFile == "k.pem")
        #expect(tls?.verifyPeer == false)
        #expect(tls?.verifyHostname == false)
    }

    @Test(arguments: [
        ("localhost:5672", "://"), ("http://h", "scheme"), ("amqp://h:0", "port"), ("amqp://h:x", "port"),
        ("amqp://h:70000", "port"), ("amqp://s3cret%4:s3cret@h", "user name"), ("amqp://u:s3cret%zz@h", "password"),
        ("amqp://u:s3cret@h/%ff", "virtual host"), ("amqp://h?heartbeat=-1", "heartbeat"),
        ("amqp://h?heartbeat=70000", "heartbeat"), ("amqp://h?connection_timeout=0", "connection_timeout"),
        ("amqp://h?hartbeat=1", "hartbeat"), ("amqp://h?cacertfile=x", "amqps"), ("amqp://[::1", "IPv6"),
        ("amqps://h?verify=yes", "verify"), ("amqp://h/a%00", "NUL"),
    ])
    func badURLsAreNamedWithoutTheSecret(url: String, part: String) {
        let error = #expect(throws: AMQPError.self) { try AMQPConfiguration(url: url) }
        #expect(error?.code == .invalidConfiguration)
        #expect(error?.description.contains(part) == true)
        #expect(error?.description.contains("s3cret") == false)
    }

    @Test func noDescriptionShowsThePassword() throws {
        let configuration = try AMQPConfiguration(url: "amqp://u:s3cret@h/v")
        var dumped = ""
        dump(configuration, to: &dumped)
        for text in ["\(configuration)", String(reflecting: configuration), dumped] {
            #expect(!text.contains("s3cret"))
            #expect(text.contains("u:***@h:5672/v"))
        }
    }
}
