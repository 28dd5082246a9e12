//! DPDK: EAL, memory pools, mbufs, ports and queues. The only caller of `dpdk-sys`.
