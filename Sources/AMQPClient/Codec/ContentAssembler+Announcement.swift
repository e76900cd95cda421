import CRabbitMQ

extension ContentAssembler.Announcement {
    /// - Parameter decoded: librabbitmq's struct for `id`.
    init?(_ id: amqp_method_number_t, _ decoded: UnsafeRawPointer) {
        switch id {
        case AMQP_BASIC_DELIVER_METHOD:
            let method = decoded.load(as: amqp_basic_deliver_t.self)
            self = .delivery(
                consumerTag: String(copying: method.consumer_tag), deliveryTag: method.delivery_tag,
                redelivered: method.redelivered != 0, exchange: String(copying: method.exchange),
                routingKey: String(copying: method.routing_key))
        case AMQP_BASIC_GET_OK_METHOD:
            let method = decoded.load(as: amqp_basic_get_ok_t.self)
            self = .got(
                deliveryTag: method.delivery_tag, redelivered: method.redelivered != 0,
                exchange: String(copying: method.exchange), routingKey: String(copying: method.routing_key))
        case AMQP_BASIC_RETURN_METHOD:
            let method = decoded.load(as: amqp_basic_return_t.self)
            self = .returned(
                code: method.reply_code, text: String(copying: method.reply_text),
                exchange: String(copying: method.exchange), routingKey: String(copying: method.routing_key))
        default:
            return nil
        }
    }
}
