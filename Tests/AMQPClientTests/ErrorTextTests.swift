import Testing

@testable import AMQPClient

@Suite struct ErrorTextTests {
    @Test func aMismatchNamesBothValuesAndTheRemedy() {
        let error = AMQPError(
            channelClosed: 406,
            text: "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received 'quorum' "
                + "but current is 'classic'"
        ).declaring("queue", "q")
        #expect(error.code == .topologyMismatch)
        #expect(!error.isRetryable)
        for part in ["queue 'q'", "'x-queue-type'", "'quorum'", "'classic'", "delete_queue q"] {
            #expect(error.message.contains(part), "\(error.message)")
        }
    }

    @Test(arguments: [
        ("received none but current is the value '5' of type 'signedint'", "none", "'5'"),
        ("received the value '7' of type 'signedint' but current is none", "'7'", "none"),
        ("received 'true' but current is 'false'", "'true'", "'false'"),
    ])
    func everyShapeOfRabbitMQsSentence(tail: String, wanted: String, current: String) {
        let error = AMQPError(
            channelClosed: 406,
            text: "PRECONDITION_FAILED - inequivalent arg 'x' for queue 'q' in vhost '/': \(tail)"
        ).declaring("queue", "q")
        #expect(error.code == .topologyMismatch)
        #expect(error.message.contains("'x' is \(current) on the broker, wanted \(wanted);"), "\(error.message)")
    }
}
