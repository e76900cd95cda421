import Telemetry
import Testing

@Suite struct RedactionTests {
    @Test(arguments: [
        "password", "DB_PASSWORD", "dbPassword", "apiKey", "api_key", "x-api-key", "Authorization", "set-cookie",
        "token", "access_token", "claimToken", "s3.secret-key", "aws_secret_access_key", "aws_access_key_id",
        "client.credentials", "privateKey",
    ])
    func secretKeys(key: String) {
        #expect(Redaction.isSecret(key: key))
    }

    @Test(arguments: [
        "tokens", "max_tokens", "token_accuracy", "tokens_per_second", "key", "routing_key", "keys", "task", "run",
        "secretary", "passwordless", "compass", "",
    ])
    func ordinaryKeys(key: String) {
        #expect(!Redaction.isSecret(key: key))
    }

    @Test(arguments: [
        ("redis://:p@h:1/0", "redis://:[redacted]@h:1/0"),
        ("amqp://u:p@ss@h/v and http://a:b@c", "amqp://u:[redacted]@h/v and http://a:[redacted]@c"),
        ("http://user@h/", "http://user@h/"),
        ("http://h:80/a@b:c", "http://h:80/a@b:c"),
        ("mail a@b.c: see http://x/", "mail a@b.c: see http://x/"),
        ("://:@", "://:[redacted]@"),
        ("", ""),
    ])
    func urls(text: String, masked: String) {
        #expect(Redaction.maskURLs(in: text) == masked)
    }
}
