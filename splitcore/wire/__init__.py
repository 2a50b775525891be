"""What crosses the cut: messages, frames and the channels that carry them. Importing it loads no torch.

protocol   messages       Kind, Phase, SessionIds, Message and the errors
           limits         session_limits(...): what one end accepts, from the contract
           channel        Channel, Listener, wait_any
           session        Session: one conversation, whatever carries it
transport  memory         memory_pair(client_limits, server_limits) -> (client channel, server channel)
           grpc_channel   dial(host, port, identity=..., server_certificate=..., limits=...) -> Channel
           grpc_listener  serve(identity=..., clients={participant: certificate}, limits=..., ...) -> Listener
           certificates   create_identity(worker id), fingerprint(certificate)
"""
