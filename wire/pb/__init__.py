"""Generated protobuf modules (make protos); committed so that nobody needs the compiler."""
