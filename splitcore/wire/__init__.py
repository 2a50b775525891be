"""What crosses the cut: messages, frames, codecs and the channels that carry them. Importing it loads no torch.

messages      Kind, Phase, SessionIds, Payload, Message and the errors
limits        session_limits(...): what one end accepts, from the contract
codecs        encode(tensor, "bf16") -> Payload, decode(payload) -> tensor (torch)
channel       Channel, Listener, wait_any
memory        memory_pair(client_limits, server_limits) -> (client channel, server channel)
grpc_channel  dial(host, port, identity=..., server_certificate=..., limits=...) -> Channel
grpc_listener serve(identity=..., clients={participant: certificate}, limits=..., host=..., ports=...) -> Listener
certificates  create_identity(worker id), fingerprint(certificate)
"""
