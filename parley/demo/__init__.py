"""The story that `make demo` tells: a lender, a bureau and a telco train one credit model on a real public table."""
