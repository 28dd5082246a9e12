/*
 * What Pollux uses of DPDK, over plain structs of our own. DPDK's structs change from release to release and stay
 * behind this header; it includes none of DPDK's, so the binding is the same with every DPDK.
 *
 * Functions that can fail return 0 or a negative errno unless they say otherwise.
 */
#ifndef POLLUX_DPDK_SHIM_H
#define POLLUX_DPDK_SHIM_H

#include <stddef.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_mempool;

/* Room in front of the data of a new or received mbuf; asserted against DPDK's configuration. */
#define PX_HEADROOM 128
/* The longest name of a port or a driver, with its terminating zero. */
#define PX_NAME_SIZE 64
/* rte_mbuf's hot fields must stand where Rust's mirror reads them. */
#define PX_MBUF_SIZE 128

/* --- EAL --- */

/* Where DPDK's log lines go: the last ones are always kept for error messages. */
#define PX_LOG_KEEP 0   /* only kept */
#define PX_LOG_ERRORS 1 /* errors are printed on stderr, too */
#define PX_LOG_ALL 2    /* everything the log levels let through is printed */

/* Takes DPDK's log over; to be called before px_eal_init. */
int px_log_start(int mode);
void px_log_mode(int mode);
/* Forgets the kept lines. */
void px_log_clear(void);
/* Copies the kept error lines, the newest last, with a terminating zero; returns their length. */
size_t px_log_errors(char *out, size_t size);

int px_eal_init(int argc, char **argv);
int px_eal_cleanup(void);
const char *px_error_text(int error);
/* Ticks of the time stamp counter a second, as EAL found out when it started. */
uint64_t px_tsc_hz(void);
const char *px_version(void);

typedef int (*px_lcore_fn)(void *argument);

uint32_t px_lcores_max(void);
int px_lcore_launch(uint32_t lcore, px_lcore_fn function, void *argument);
/* Waits for the lcore to come to rest and returns what its function returned. */
int px_lcore_wait(uint32_t lcore);
/* The calling thread's lcore, or -1 for a thread that EAL did not start. */
int px_lcore_current(void);
/* The NUMA socket of an lcore. */
int px_lcore_socket(uint32_t lcore);

/* --- mbufs and their pools --- */

struct px_pool_config {
	const char *name;
	uint32_t count;     /* mbufs */
	uint32_t cache;     /* mbufs an lcore keeps for itself */
	uint16_t data_room; /* bytes a mbuf's buffer has, headroom included */
	int32_t socket;     /* NUMA socket, -1: any */
};

/* NULL on failure, *error says why. */
struct rte_mempool *px_pool_create(const struct px_pool_config *config, int *error);
void px_pool_free(struct rte_mempool *pool);
/* Free mbufs, those in the lcores' caches included. */
uint32_t px_pool_available(const struct rte_mempool *pool);

/* NULL when the pool is empty. */
struct rte_mbuf *px_mbuf_alloc(struct rte_mempool *pool);
/* All or none. */
int px_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, uint32_t count);
/* Frees a chain. */
void px_mbuf_free(struct rte_mbuf *mbuf);
/* Frees one segment, not what follows it. */
void px_mbuf_free_segment(struct rte_mbuf *mbuf);
/* Frees chains. */
void px_mbuf_free_bulk(struct rte_mbuf **mbufs, uint32_t count);

/* --- ports --- */

#define PX_RX_IPV4_CKSUM (1u << 0)
#define PX_RX_UDP_CKSUM (1u << 1)
#define PX_RX_TCP_CKSUM (1u << 2)
#define PX_RX_SCATTER (1u << 3)
#define PX_RX_RSS_HASH (1u << 4)
#define PX_RX_VLAN_STRIP (1u << 5)
#define PX_RX_VLAN_FILTER (1u << 6)

/* mbuf.ol_flags: the port is to fill in the UDP checksum; the field holds the pseudo header's sum */
#define PX_MBUF_TX_IPV4_UDP_CKSUM ((3ull << 52) | (1ull << 55))
/* mbuf.tx_offload: 7 bits of l2_len, then 9 bits of l3_len */
#define PX_MBUF_L3_LEN_SHIFT 7

#define PX_TX_IPV4_CKSUM (1u << 0)
#define PX_TX_UDP_CKSUM (1u << 1)
#define PX_TX_TCP_CKSUM (1u << 2)
#define PX_TX_SCTP_CKSUM (1u << 3)
#define PX_TX_OUTER_IPV4_CKSUM (1u << 4)
#define PX_TX_MULTI_SEGS (1u << 5)
#define PX_TX_FAST_FREE (1u << 6)

#define PX_RSS_IPV4 (1u << 0)
#define PX_RSS_IPV4_FRAGMENT (1u << 1)
#define PX_RSS_IPV4_TCP (1u << 2)
#define PX_RSS_IPV4_UDP (1u << 3)
#define PX_RSS_IPV4_SCTP (1u << 4)
#define PX_RSS_IPV4_OTHER (1u << 5)
#define PX_RSS_IPV6 (1u << 6)
#define PX_RSS_IPV6_FRAGMENT (1u << 7)
#define PX_RSS_IPV6_TCP (1u << 8)
#define PX_RSS_IPV6_UDP (1u << 9)
#define PX_RSS_IPV6_SCTP (1u << 10)
#define PX_RSS_IPV6_OTHER (1u << 11)
#define PX_RSS_L3_SOURCE_ONLY (1u << 16)
#define PX_RSS_L3_DESTINATION_ONLY (1u << 17)
#define PX_RSS_L4_SOURCE_ONLY (1u << 18)
#define PX_RSS_L4_DESTINATION_ONLY (1u << 19)

/* The driver announces a link that goes up or down by itself. */
#define PX_PORT_LINK_EVENTS (1u << 0)

struct px_port_info {
	char name[PX_NAME_SIZE];   /* the device's: a PCI address or a vdev's name */
	char driver[PX_NAME_SIZE];
	uint8_t mac[6];
	uint16_t rx_queues_max;
	uint16_t tx_queues_max;
	uint16_t mtu_min;
	uint16_t mtu_max;
	uint16_t mtu;
	uint16_t reta_size;
	uint8_t hash_key_size;
	int32_t socket;            /* NUMA socket, -1: unknown */
	uint32_t rx_offloads;      /* what the driver can, PX_RX_ */
	uint32_t tx_offloads;      /* PX_TX_ */
	uint32_t rss_fields;       /* PX_RSS_ */
	uint32_t flags;            /* PX_PORT_ */
};

/* The longest RSS key that is handed over; drivers take 40 to 52 bytes. */
#define PX_RSS_KEY_SIZE 64
/* The largest redirection table; drivers have 64 to 2048 entries. */
#define PX_RETA_SIZE 2048

struct px_rss {
	uint32_t fields;           /* PX_RSS_; 0: no RSS */
	uint8_t has_key;           /* 0: the driver's own key */
	uint8_t key_size;          /* as px_port_info says, also where that is 0: some drivers take 40 bytes and do not say so */
	uint8_t key[PX_RSS_KEY_SIZE];
};

struct px_port_config {
	uint16_t rx_queues;
	uint16_t tx_queues;
	uint16_t mtu;              /* 0: the driver's own */
	uint32_t rx_offloads;      /* PX_RX_, each of them offered by the driver */
	uint32_t tx_offloads;      /* PX_TX_ */
	struct px_rss rss;
};

struct px_link {
	uint32_t speed_mbps;       /* 0 unknown */
	uint8_t up;
	uint8_t full_duplex;
	uint8_t autonegotiated;
};

struct px_port_stats {
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes;
	uint64_t rx_missed;        /* dropped by the device: no room in its queues */
	uint64_t rx_errors;
	uint64_t rx_no_mbuf;       /* no mbuf left to receive into */
	uint64_t tx_errors;
};

/* The port of a device, by PCI address or vdev name; negative errno when there is none. */
int px_port_find(const char *device);
/* Fills in the ids of the ports there are and returns how many. */
uint32_t px_port_list(uint16_t *ports, uint32_t size);
int px_port_info(uint16_t port, struct px_port_info *out);
int px_port_configure(uint16_t port, const struct px_port_config *config);
/* Brings numbers of descriptors within the driver's limits. */
int px_port_adjust_descriptors(uint16_t port, uint16_t *rx, uint16_t *tx);
int px_rx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, struct rte_mempool *pool);
int px_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors);
/* Of a port that was configured with RSS and started: what is in force, */
int px_port_rss(uint16_t port, struct px_rss *out);
/* other fields and another key, */
int px_port_set_rss(uint16_t port, const struct px_rss *rss);
/* the queue of each entry of the redirection table; size as px_port_info says. */
int px_port_reta(uint16_t port, uint16_t *queues, uint16_t size);
int px_port_set_reta(uint16_t port, const uint16_t *queues, uint16_t size);
int px_port_start(uint16_t port);
int px_port_stop(uint16_t port);
int px_port_close(uint16_t port);
int px_port_promiscuous_on(uint16_t port);
int px_port_allmulticast_on(uint16_t port);
int px_port_set_mac(uint16_t port, const uint8_t mac[6]);
int px_port_set_mtu(uint16_t port, uint16_t mtu);
/* Lets frames of a VLAN in, on a port with PX_RX_VLAN_FILTER on. */
int px_port_admit_vlan(uint16_t port, uint16_t vlan);
int px_port_link(uint16_t port, struct px_link *out);
int px_port_stats(uint16_t port, struct px_port_stats *out);
int px_port_stats_reset(uint16_t port);

/* --- bursts --- */

uint16_t px_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
uint16_t px_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);

#endif
