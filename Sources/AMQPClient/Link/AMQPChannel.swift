import CRabbitMQ

/// What a link tells the owner of one of its channels, on the connection's thread.
protocol AMQPChannel: AnyObject {
    /// A method without content. `decoded` is librabbitmq's struct for `id`, valid during the call.
    func received(_ id: amqp_method_number_t, _ decoded: UnsafeRawPointer)
    func received(_ content: ContentAssembler.Content)
    /// The broker closed the channel; its number is already free.
    func closed(_ error: AMQPError)
}
