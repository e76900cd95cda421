import CHiredis
import SocketExecutor

extension RedisConnection {
    func subscribe(_ subscriber: Subscriber) {
        guard let context else { return }
        subscriber.expectConfirmations()
        do {
            guard try EncodedCommands(subscriber.commands).append(to: context.pointer) else {
                return lose(RedisError(.notConnected, "hiredis is out of memory"))
            }
            write()
            keepAlive(on: context)
        } catch {
            subscriber.finish(error as? RedisError)
        }
    }

    /// A subscriber that hears nothing cannot tell a quiet channel from a dead server, so it asks.
    private func keepAlive(on context: HiredisContext) {
        // The write before this may have been what found the connection dead: then the one timer there is counts down
        // to the next attempt, and must be left alone.
        guard self.context === context else { return }
        setPhaseTimer(after: configuration.subscriberPingInterval) { connection in
            guard let context = connection.context else { return }
            let limit = connection.configuration.subscriberPingInterval * 2 + connection.configuration.commandTimeout
            let silence = connection.lastReceived.duration(to: .now)
            guard silence < limit else {
                return connection.lose(RedisError(.notConnected, "the server was silent for \(silence)"))
            }
            do {
                guard try EncodedCommands([["PING"]]).append(to: context.pointer) else {
                    return connection.lose(RedisError(.notConnected, "hiredis is out of memory"))
                }
                connection.write()
                connection.keepAlive(on: context)
            } catch {
                connection.lose(RedisError(.notConnected, "PING cannot be sent: \(error)"))
            }
        }
    }
}
