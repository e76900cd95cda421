import PostgresClient
import Testing

struct PostgresConfigurationTests {
    @Test(arguments: [
        "postgres://me:s3cret@db.example:6543/martlet?sslmode=require",
        "host=db.example port=6543 user=me password=s3cret dbname=martlet sslmode=require",
    ])
    func bothFormsAreReadAndThePasswordIsNotShown(url: String) throws {
        let configuration = try PostgresConfiguration(url: url)
        #expect(configuration.description == "postgres://me@db.example:6543/martlet?sslmode=require")
        #expect(!String(reflecting: configuration).contains("s3cret"))
        var dumped = ""
        dump(configuration, to: &dumped)
        dump([configuration], to: &dumped)
        #expect(!dumped.contains("s3cret"))
    }

    @Test(arguments: [
        "", "postgres://me:s3cret@h:port/d", "postgres://me:s3cret@h/d?sslmode=perhaps", "host=h password='s3cret",
        "postgres://me:s3cret@h/d?nonsense=1", "password=s3cret more s3cret", "postgres://me:s3cret@[::1/d",
        "postgres://me:s3cret@h:99999/d", "mysql://me:s3cret@h/d",
    ])
    func mistakesAreNamedWithoutThePassword(url: String) {
        let error = #expect(throws: PostgresError.self) { try PostgresConfiguration(url: url) }
        #expect(error?.code == .invalidConfiguration)
        #expect(error.map { String(describing: $0).contains("s3cret") } == false)
    }
}
