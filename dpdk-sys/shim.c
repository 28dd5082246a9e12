/* The only code that sees DPDK's headers; shim.h says what each function promises. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_version.h>

#include "shim.h"

/* --- the layout that Rust's mirror of rte_mbuf (src/mbuf.rs) relies on --- */

#define ASSERT_FIELD(field, at, size) \
	_Static_assert(offsetof(struct rte_mbuf, field) == (at), "rte_mbuf." #field " has moved: adapt src/mbuf.rs"); \
	_Static_assert(sizeof(((struct rte_mbuf *)0)->field) == (size), "rte_mbuf." #field " has another size")

ASSERT_FIELD(buf_addr, 0, 8);
ASSERT_FIELD(data_off, 16, 2);
ASSERT_FIELD(refcnt, 18, 2);
ASSERT_FIELD(nb_segs, 20, 2);
ASSERT_FIELD(port, 22, 2);
ASSERT_FIELD(ol_flags, 24, 8);
_Static_assert(PX_MBUF_TX_IPV4_UDP_CKSUM == (RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IPV4), "as in rte_mbuf_core.h");
_Static_assert(PX_MBUF_L3_LEN_SHIFT == RTE_MBUF_L2_LEN_BITS, "as in rte_mbuf_core.h");
ASSERT_FIELD(packet_type, 32, 4);
ASSERT_FIELD(pkt_len, 36, 4);
ASSERT_FIELD(data_len, 40, 2);
ASSERT_FIELD(vlan_tci, 42, 2);
ASSERT_FIELD(hash.rss, 44, 4);
ASSERT_FIELD(buf_len, 54, 2);
ASSERT_FIELD(pool, 56, 8);
ASSERT_FIELD(next, 64, 8);
ASSERT_FIELD(tx_offload, 72, 8);
_Static_assert(sizeof(struct rte_mbuf) == PX_MBUF_SIZE, "rte_mbuf has another size: adapt src/mbuf.rs");
_Static_assert(RTE_PKTMBUF_HEADROOM == PX_HEADROOM, "DPDK was built with another RTE_PKTMBUF_HEADROOM than 128");

/* --- log --- */

/* Enough for what EAL says before it gives up. */
#define LOG_KEPT_SIZE 4096

static struct {
	pthread_mutex_t lock;
	int mode;
	size_t length;
	char text[LOG_KEPT_SIZE];
} log_kept = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Drops the oldest lines so that `size` more bytes fit. */
static void log_make_room(size_t size)
{
	while (log_kept.length + size > LOG_KEPT_SIZE) {
		char *end = memchr(log_kept.text, '\n', log_kept.length);
		size_t cut = end ? (size_t)(end - log_kept.text) + 1 : log_kept.length;
		log_kept.length -= cut;
		memmove(log_kept.text, log_kept.text + cut, log_kept.length);
	}
}

static ssize_t log_write(void *cookie, const char *text, size_t size)
{
	int level = rte_log_cur_msg_loglevel();
	int is_error = level > 0 && level <= (int)RTE_LOG_ERR;

	(void)cookie;
	pthread_mutex_lock(&log_kept.lock);
	if (is_error && size <= LOG_KEPT_SIZE) {
		log_make_room(size);
		memcpy(log_kept.text + log_kept.length, text, size);
		log_kept.length += size;
	}
	if (log_kept.mode == PX_LOG_ALL || (log_kept.mode == PX_LOG_ERRORS && is_error))
		fwrite(text, 1, size, stderr);
	pthread_mutex_unlock(&log_kept.lock);
	return (ssize_t)size;
}

int px_log_start(int mode)
{
	cookie_io_functions_t functions = { .write = log_write };
	FILE *stream = fopencookie(NULL, "w", functions);

	if (stream == NULL)
		return -ENOMEM;
	px_log_mode(mode);
	return rte_openlog_stream(stream);
}

void px_log_mode(int mode)
{
	pthread_mutex_lock(&log_kept.lock);
	log_kept.mode = mode;
	pthread_mutex_unlock(&log_kept.lock);
}

void px_log_clear(void)
{
	pthread_mutex_lock(&log_kept.lock);
	log_kept.length = 0;
	pthread_mutex_unlock(&log_kept.lock);
}

size_t px_log_errors(char *out, size_t size)
{
	size_t length;

	if (size == 0)
		return 0;
	pthread_mutex_lock(&log_kept.lock);
	length = RTE_MIN(log_kept.length, size - 1);
	memcpy(out, log_kept.text + log_kept.length - length, length);
	pthread_mutex_unlock(&log_kept.lock);
	out[length] = '\0';
	return length;
}

/* --- EAL --- */

/* Points stdout elsewhere and returns a copy of what it was, -1 when that did not work. */
static int stdout_silence(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int saved = null < 0 ? -1 : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);

	fflush(stdout);
	if (saved >= 0)
		dup2(null, STDOUT_FILENO);
	if (null >= 0)
		close(null);
	return saved;
}

static void stdout_restore(int saved)
{
	if (saved < 0)
		return;
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
}

int px_eal_init(int argc, char **argv)
{
	/* An argument it does not know makes EAL print pages of usage, which would bury our one sentence. */
	int saved = stdout_silence();
	int result;

	rte_errno = 0;
	result = rte_eal_init(argc, argv);
	stdout_restore(saved);
	if (result >= 0)
		return 0;
	return rte_errno != 0 ? -rte_errno : -EINVAL;
}

int px_eal_cleanup(void)
{
	return rte_eal_cleanup();
}

const char *px_error_text(int error)
{
	return rte_strerror(error < 0 ? -error : error);
}

uint64_t px_tsc_hz(void)
{
	return rte_get_tsc_hz();
}

const char *px_version(void)
{
	return rte_version();
}

uint32_t px_lcores_max(void)
{
	return RTE_MAX_LCORE;
}

int px_lcore_launch(uint32_t lcore, px_lcore_fn function, void *argument)
{
	if (lcore >= RTE_MAX_LCORE || !rte_lcore_is_enabled(lcore))
		return -ENODEV;
	return rte_eal_remote_launch(function, argument, lcore);
}

int px_lcore_wait(uint32_t lcore)
{
	return lcore < RTE_MAX_LCORE ? rte_eal_wait_lcore(lcore) : -ENODEV;
}

int px_lcore_current(void)
{
	unsigned int lcore = rte_lcore_id();

	return lcore == LCORE_ID_ANY ? -1 : (int)lcore;
}

int px_lcore_socket(uint32_t lcore)
{
	return lcore < RTE_MAX_LCORE ? (int)rte_lcore_to_socket_id(lcore) : SOCKET_ID_ANY;
}

/* --- mbufs and their pools --- */

struct rte_mempool *px_pool_create(const struct px_pool_config *config, int *error)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(config->name, config->count, config->cache, 0,
							   config->data_room, config->socket);

	*error = pool == NULL ? rte_errno : 0;
	return pool;
}

void px_pool_free(struct rte_mempool *pool)
{
	rte_mempool_free(pool);
}

uint32_t px_pool_available(const struct rte_mempool *pool)
{
	return rte_mempool_avail_count(pool);
}

struct rte_mbuf *px_mbuf_alloc(struct rte_mempool *pool)
{
	return rte_pktmbuf_alloc(pool);
}

int px_mbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, uint32_t count)
{
	return rte_pktmbuf_alloc_bulk(pool, mbufs, count);
}

void px_mbuf_free(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free(mbuf);
}

void px_mbuf_free_segment(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free_seg(mbuf);
}

void px_mbuf_free_bulk(struct rte_mbuf **mbufs, uint32_t count)
{
	rte_pktmbuf_free_bulk(mbufs, count);
}

/* --- ports: our bits for DPDK's --- */

struct bit {
	uint32_t ours;
	uint64_t dpdk;
};

static const struct bit rx_offload_bits[] = {
	{ PX_RX_IPV4_CKSUM, RTE_ETH_RX_OFFLOAD_IPV4_CKSUM },
	{ PX_RX_UDP_CKSUM, RTE_ETH_RX_OFFLOAD_UDP_CKSUM },
	{ PX_RX_TCP_CKSUM, RTE_ETH_RX_OFFLOAD_TCP_CKSUM },
	{ PX_RX_SCATTER, RTE_ETH_RX_OFFLOAD_SCATTER },
	{ PX_RX_RSS_HASH, RTE_ETH_RX_OFFLOAD_RSS_HASH },
	{ PX_RX_VLAN_STRIP, RTE_ETH_RX_OFFLOAD_VLAN_STRIP },
	{ PX_RX_VLAN_FILTER, RTE_ETH_RX_OFFLOAD_VLAN_FILTER },
};

static const struct bit tx_offload_bits[] = {
	{ PX_TX_IPV4_CKSUM, RTE_ETH_TX_OFFLOAD_IPV4_CKSUM },
	{ PX_TX_UDP_CKSUM, RTE_ETH_TX_OFFLOAD_UDP_CKSUM },
	{ PX_TX_TCP_CKSUM, RTE_ETH_TX_OFFLOAD_TCP_CKSUM },
	{ PX_TX_SCTP_CKSUM, RTE_ETH_TX_OFFLOAD_SCTP_CKSUM },
	{ PX_TX_OUTER_IPV4_CKSUM, RTE_ETH_TX_OFFLOAD_OUTER_IPV4_CKSUM },
	{ PX_TX_MULTI_SEGS, RTE_ETH_TX_OFFLOAD_MULTI_SEGS },
	{ PX_TX_FAST_FREE, RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE },
};

static const struct bit rss_bits[] = {
	{ PX_RSS_IPV4, RTE_ETH_RSS_IPV4 },
	{ PX_RSS_IPV4_FRAGMENT, RTE_ETH_RSS_FRAG_IPV4 },
	{ PX_RSS_IPV4_TCP, RTE_ETH_RSS_NONFRAG_IPV4_TCP },
	{ PX_RSS_IPV4_UDP, RTE_ETH_RSS_NONFRAG_IPV4_UDP },
	{ PX_RSS_IPV4_SCTP, RTE_ETH_RSS_NONFRAG_IPV4_SCTP },
	{ PX_RSS_IPV4_OTHER, RTE_ETH_RSS_NONFRAG_IPV4_OTHER },
	{ PX_RSS_IPV6, RTE_ETH_RSS_IPV6 },
	{ PX_RSS_IPV6_FRAGMENT, RTE_ETH_RSS_FRAG_IPV6 },
	{ PX_RSS_IPV6_TCP, RTE_ETH_RSS_NONFRAG_IPV6_TCP },
	{ PX_RSS_IPV6_UDP, RTE_ETH_RSS_NONFRAG_IPV6_UDP },
	{ PX_RSS_IPV6_SCTP, RTE_ETH_RSS_NONFRAG_IPV6_SCTP },
	{ PX_RSS_IPV6_OTHER, RTE_ETH_RSS_NONFRAG_IPV6_OTHER },
	{ PX_RSS_L3_SOURCE_ONLY, RTE_ETH_RSS_L3_SRC_ONLY },
	{ PX_RSS_L3_DESTINATION_ONLY, RTE_ETH_RSS_L3_DST_ONLY },
	{ PX_RSS_L4_SOURCE_ONLY, RTE_ETH_RSS_L4_SRC_ONLY },
	{ PX_RSS_L4_DESTINATION_ONLY, RTE_ETH_RSS_L4_DST_ONLY },
};

static uint32_t to_ours(const struct bit *bits, size_t count, uint64_t dpdk)
{
	uint32_t ours = 0;

	for (size_t i = 0; i < count; i++)
		if (dpdk & bits[i].dpdk)
			ours |= bits[i].ours;
	return ours;
}

static uint64_t to_dpdk(const struct bit *bits, size_t count, uint32_t ours)
{
	uint64_t dpdk = 0;

	for (size_t i = 0; i < count; i++)
		if (ours & bits[i].ours)
			dpdk |= bits[i].dpdk;
	return dpdk;
}

#define TO_OURS(bits, dpdk) to_ours(bits, RTE_DIM(bits), dpdk)
#define TO_DPDK(bits, ours) to_dpdk(bits, RTE_DIM(bits), ours)

/* --- ports --- */

int px_port_find(const char *device)
{
	uint16_t port;
	int error = rte_eth_dev_get_port_by_name(device, &port);

	return error != 0 ? error : port;
}

uint32_t px_port_list(uint16_t *ports, uint32_t size)
{
	uint32_t count = 0;
	uint16_t port;

	RTE_ETH_FOREACH_DEV(port)
		if (count < size)
			ports[count++] = port;
	return count;
}

int px_port_info(uint16_t port, struct px_port_info *out)
{
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;
	char name[RTE_ETH_NAME_MAX_LEN];
	int error = rte_eth_dev_info_get(port, &info);

	if (error != 0)
		return error;
	memset(out, 0, sizeof(*out));
	if (rte_eth_dev_get_name_by_port(port, name) == 0)
		snprintf(out->name, sizeof(out->name), "%.*s", PX_NAME_SIZE - 1, name);
	snprintf(out->driver, sizeof(out->driver), "%s", info.driver_name ? info.driver_name : "unknown");
	if (rte_eth_macaddr_get(port, &mac) == 0)
		memcpy(out->mac, mac.addr_bytes, sizeof(out->mac));
	if (rte_eth_dev_get_mtu(port, &out->mtu) != 0)
		out->mtu = RTE_ETHER_MTU;
	out->rx_queues_max = info.max_rx_queues;
	out->tx_queues_max = info.max_tx_queues;
	out->mtu_min = info.min_mtu;
	out->mtu_max = info.max_mtu;
	out->reta_size = info.reta_size;
	out->hash_key_size = info.hash_key_size;
	out->socket = rte_eth_dev_socket_id(port);
	out->rx_offloads = TO_OURS(rx_offload_bits, info.rx_offload_capa);
	out->tx_offloads = TO_OURS(tx_offload_bits, info.tx_offload_capa);
	out->rss_fields = TO_OURS(rss_bits, info.flow_type_rss_offloads);
	if (info.dev_flags != NULL && (*info.dev_flags & RTE_ETH_DEV_INTR_LSC))
		out->flags |= PX_PORT_LINK_EVENTS;
	return 0;
}

/* The key is only read: DPDK copies it. Fields that came with later releases stay zero: the driver's defaults. */
static void rss_to_dpdk(const struct px_rss *rss, struct rte_eth_rss_conf *conf)
{
	memset(conf, 0, sizeof(*conf));
	conf->rss_hf = TO_DPDK(rss_bits, rss->fields);
	if (rss->has_key && rss->key_size <= PX_RSS_KEY_SIZE) {
		conf->rss_key = (uint8_t *)(uintptr_t)rss->key;
		conf->rss_key_len = rss->key_size;
	}
}

int px_port_configure(uint16_t port, const struct px_port_config *config)
{
	struct rte_eth_conf conf;

	memset(&conf, 0, sizeof(conf));
	conf.rxmode.mtu = config->mtu;
	conf.rxmode.offloads = TO_DPDK(rx_offload_bits, config->rx_offloads);
	conf.txmode.offloads = TO_DPDK(tx_offload_bits, config->tx_offloads);
	if (config->rss.fields != 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		rss_to_dpdk(&config->rss, &conf.rx_adv_conf.rss_conf);
	}
	return rte_eth_dev_configure(port, config->rx_queues, config->tx_queues, &conf);
}

int px_port_adjust_descriptors(uint16_t port, uint16_t *rx, uint16_t *tx)
{
	return rte_eth_dev_adjust_nb_rx_tx_desc(port, rx, tx);
}

/* A NULL configuration takes the driver's thresholds and the port's offloads. */
int px_rx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, struct rte_mempool *pool)
{
	return rte_eth_rx_queue_setup(port, queue, descriptors, (unsigned int)rte_eth_dev_socket_id(port), NULL, pool);
}

int px_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors)
{
	return rte_eth_tx_queue_setup(port, queue, descriptors, (unsigned int)rte_eth_dev_socket_id(port), NULL);
}

int px_port_rss(uint16_t port, struct px_rss *out)
{
	struct rte_eth_dev_info info;
	struct rte_eth_rss_conf conf;
	int error = rte_eth_dev_info_get(port, &info);

	if (error != 0)
		return error;
	memset(out, 0, sizeof(*out));
	memset(&conf, 0, sizeof(conf));
	conf.rss_key = out->key;
	conf.rss_key_len = RTE_MIN(info.hash_key_size, PX_RSS_KEY_SIZE);
	error = rte_eth_dev_rss_hash_conf_get(port, &conf);
	out->fields = TO_OURS(rss_bits, conf.rss_hf);
	out->has_key = 1;
	out->key_size = RTE_MIN(conf.rss_key_len, PX_RSS_KEY_SIZE);
	return error;
}

int px_port_set_rss(uint16_t port, const struct px_rss *rss)
{
	struct rte_eth_rss_conf conf;

	rss_to_dpdk(rss, &conf);
	return rte_eth_dev_rss_hash_update(port, &conf);
}

/* DPDK takes and gives the table in groups, with a mask of the entries that are meant. */
#define RETA_GROUPS (PX_RETA_SIZE / RTE_ETH_RETA_GROUP_SIZE)
#define RETA_ENTRY(groups, i) ((groups)[(i) / RTE_ETH_RETA_GROUP_SIZE].reta[(i) % RTE_ETH_RETA_GROUP_SIZE])

int px_port_reta(uint16_t port, uint16_t *queues, uint16_t size)
{
	struct rte_eth_rss_reta_entry64 groups[RETA_GROUPS];
	int error;

	if (size > PX_RETA_SIZE)
		return -ENOTSUP;
	memset(groups, 0, sizeof(groups));
	for (uint16_t i = 0; i < size; i++)
		groups[i / RTE_ETH_RETA_GROUP_SIZE].mask |= UINT64_C(1) << (i % RTE_ETH_RETA_GROUP_SIZE);
	error = rte_eth_dev_rss_reta_query(port, groups, size);
	for (uint16_t i = 0; error == 0 && i < size; i++)
		queues[i] = RETA_ENTRY(groups, i);
	return error;
}

int px_port_set_reta(uint16_t port, const uint16_t *queues, uint16_t size)
{
	struct rte_eth_rss_reta_entry64 groups[RETA_GROUPS];

	if (size > PX_RETA_SIZE)
		return -ENOTSUP;
	memset(groups, 0, sizeof(groups));
	for (uint16_t i = 0; i < size; i++) {
		groups[i / RTE_ETH_RETA_GROUP_SIZE].mask |= UINT64_C(1) << (i % RTE_ETH_RETA_GROUP_SIZE);
		RETA_ENTRY(groups, i) = queues[i];
	}
	return rte_eth_dev_rss_reta_update(port, groups, size);
}

int px_port_start(uint16_t port)
{
	return rte_eth_dev_start(port);
}

int px_port_stop(uint16_t port)
{
	return rte_eth_dev_stop(port);
}

int px_port_close(uint16_t port)
{
	return rte_eth_dev_close(port);
}

int px_port_promiscuous_on(uint16_t port)
{
	return rte_eth_promiscuous_enable(port);
}

int px_port_allmulticast_on(uint16_t port)
{
	return rte_eth_allmulticast_enable(port);
}

int px_port_set_mac(uint16_t port, const uint8_t mac[6])
{
	struct rte_ether_addr address;

	memcpy(address.addr_bytes, mac, sizeof(address.addr_bytes));
	return rte_eth_dev_default_mac_addr_set(port, &address);
}

int px_port_set_mtu(uint16_t port, uint16_t mtu)
{
	return rte_eth_dev_set_mtu(port, mtu);
}

int px_port_admit_vlan(uint16_t port, uint16_t vlan)
{
	return rte_eth_dev_vlan_filter(port, vlan, 1);
}

int px_port_link(uint16_t port, struct px_link *out)
{
	struct rte_eth_link link;
	int error;

	memset(&link, 0, sizeof(link));
	error = rte_eth_link_get_nowait(port, &link);
	if (error != 0)
		return error;
	out->speed_mbps = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed;
	out->up = link.link_status == RTE_ETH_LINK_UP;
	out->full_duplex = link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	out->autonegotiated = link.link_autoneg == RTE_ETH_LINK_AUTONEG;
	return 0;
}

int px_port_stats(uint16_t port, struct px_port_stats *out)
{
	struct rte_eth_stats stats;
	int error = rte_eth_stats_get(port, &stats);

	if (error != 0)
		return error;
	out->rx_packets = stats.ipackets;
	out->tx_packets = stats.opackets;
	out->rx_bytes = stats.ibytes;
	out->tx_bytes = stats.obytes;
	out->rx_missed = stats.imissed;
	out->rx_errors = stats.ierrors;
	out->rx_no_mbuf = stats.rx_nombuf;
	out->tx_errors = stats.oerrors;
	return 0;
}

int px_port_stats_reset(uint16_t port)
{
	return rte_eth_stats_reset(port);
}

/* --- bursts --- */

uint16_t px_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, mbufs, count);
}

uint16_t px_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, mbufs, count);
}
