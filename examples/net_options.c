/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of vhost-user-net. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "command_line.h"
#include "net_options.h"

enum {
	SPIN_US = 50,
	MIN_MTU = 68,
	MIN_FRAME = 42,
	MAX_FRAME = 65549,
	MAX_FLOWS = 65536,
	MAX_VLAN = 4094
};

static const char usage[] =
	"usage: vhost-user-net --socket PATH [--socket PATH ...] --net NET [--net NET ...]\n"
	"                      [--pcap FILE ...] [--queues N] [--mac ADDRESS] [--mtu N]\n"
	"                      [--threads N] [--poll | --spin US]\n"
	"\n"
	"Network devices for virtual machines: each socket serves one vhost-user front-end at a time.\n"
	"\n"
	"  --socket PATH   socket to listen on; up to 64 of them\n"
	"  --net NET       what the sockets' guests are plugged into: one for all of them, or one\n"
	"                  for each socket in turn\n"
	"                  switch[,vlan=N][,trunk=N:N...|all]  a port of the one learning switch: of\n"
	"                              VLAN N, untagged; of several ones, tagged (N is its native one "
	"then);\n"
	"                              without either a plain port of a network without VLANs\n"
	"                  pair        a cable to the next socket\n"
	"                  tap:NAME    a tap interface of this host\n"
	"                  packet:NAME any other interface of this host, which goes on using it\n"
	"                              (AF_PACKET)\n"
	"                  xdp:NAME    an interface taken from this host: past its stack (AF_XDP)\n"
	"                  pcap:FILE   what the guest sends is written to FILE, and goes nowhere\n"
	"                  echo        comes back with the addresses swapped\n"
	"                  null        goes nowhere\n"
	"                  source[:SIZE][,count=N][,flows=N]  frames of SIZE bytes (60) come in as "
	"fast\n"
	"                              as the guest takes them, N on each queue (without end)\n"
	"  --pcap FILE     write what the first socket's guest sends and receives to FILE, for\n"
	"                  Wireshark; the second --pcap is of the second socket\n"
	"  --queues N      queue pairs of each device, 1 (default) to 64\n"
	"  --mac ADDRESS   of the first socket's device; each further one's is one more. Without it\n"
	"                  it is for the front-end to say\n"
	"  --mtu N         68 to 65535, told to the guests\n"
	"  --threads N     threads that serve queue pairs, 1 to 64 (default: one for each pair, as "
	"far\n"
	"                  as there are processors)\n"
	"  --poll          never sleep: quicker, and busy all the time\n"
	"  --spin US       otherwise poll for up to US microseconds before sleeping, 0 to 1000\n"
	"                  (default 50); less where work comes seldom\n"
	"\n"
	"SIGUSR1, and the end by SIGTERM or SIGINT, print a line of counters for each socket (JSON).\n"
	"SIGUSR2 has guests whose drivers can, and the front-end lets them, tell the network where "
	"they are,\n"
	"as after it was cabled anew; of the others the address is told, where --mac says it.\n";

static int bad(const char *what, const char *value)
{
	return command_line_bad("vhost-user-net", what, value);
}

static int read_trunk(struct net_spec *spec, const char *s)
{
	uint64_t vlan;
	char *end;

	spec->trunk = 1;
	if (strcmp(s, "all") == 0)
		return 0;
	for (;;) {
		if (spec->nvlans == NET_VLANS || read_number(s, &end, 1, MAX_VLAN, &vlan) < 0)
			return -1;
		spec->vlans[spec->nvlans++] = (uint16_t)vlan;
		if (*end == '\0')
			return 0;
		if (*end != ':')
			return -1;
		s = end + 1;
	}
}

/* One of the words that follow NET, separated by commas. */
static int read_word(struct net_spec *spec, const char *word)
{
	uint64_t n;

	if (spec->kind == NET_SWITCH && strncmp(word, "vlan=", 5) == 0) {
		if (read_whole(word + 5, 1, MAX_VLAN, &n) < 0)
			return -1;
		spec->vlan = (uint16_t)n;
		return 0;
	}
	if (spec->kind == NET_SWITCH && strncmp(word, "trunk=", 6) == 0)
		return read_trunk(spec, word + 6);
	if (spec->kind == NET_SOURCE && strncmp(word, "count=", 6) == 0)
		return read_whole(word + 6, 1, UINT64_MAX, &spec->count);
	if (spec->kind == NET_SOURCE && strncmp(word, "flows=", 6) == 0) {
		if (read_whole(word + 6, 1, MAX_FLOWS, &n) < 0)
			return -1;
		spec->flows = (uint32_t)n;
		return 0;
	}
	return -1;
}

static int read_words(struct net_spec *spec, char *words)
{
	while (words != NULL) {
		char *next = strchr(words, ',');

		if (next != NULL)
			*next++ = '\0';
		if (read_word(spec, words) < 0)
			return bad("unknown or wrong option of --net", words);
		words = next;
	}
	return 0;
}

/* Those that have a name behind a colon have that alone: it may hold commas. */
static int read_net(struct net_options *o, char *s)
{
	static const struct {
		const char *word;
		enum net_kind kind;
		int named;
	} known[] = {{"switch", NET_SWITCH, 0}, {"pair", NET_PAIR, 0}, {"tap", NET_TAP, 1},
	             {"packet", NET_PACKET, 1}, {"xdp", NET_XDP, 1},   {"pcap", NET_PCAP, 1},
	             {"echo", NET_ECHO, 0},     {"null", NET_NULL, 0}, {"source", NET_SOURCE, 0}};
	size_t len = strcspn(s, ":,");
	struct net_spec *spec;
	char *words = NULL;
	uint64_t n;

	if (o->nnets == NET_SOCKETS)
		return bad("too many", "--net");
	spec = &o->nets[o->nnets++];
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strlen(known[i].word) != len || strncmp(s, known[i].word, len) != 0)
			continue;
		spec->kind = known[i].kind;
		if (known[i].named != (s[len] == ':' && spec->kind != NET_SOURCE) ||
		    (known[i].named && s[len + 1] == '\0'))
			return bad("not a network", s);
		if (known[i].named) {
			spec->name = s + len + 1;
			return 0;
		}
		words = strchr(s, ',');
		if (words != NULL)
			*words++ = '\0';
		if (s[len] == ':' && read_whole(s + len + 1, MIN_FRAME, MAX_FRAME, &n) < 0)
			return bad("not a size of frames from 42 to 65549", s + len + 1);
		spec->frame_len = s[len] == ':' ? (uint32_t)n : 0;
		return read_words(spec, words);
	}
	return bad("not a network", s);
}

static int read_mac(struct net_options *o, const char *s)
{
	const char *at = s;
	char *end;

	for (unsigned i = 0; i < sizeof(o->mac); i++) {
		if (strspn(at, "0123456789abcdefABCDEF") != 2)
			return bad("not an address", s);
		o->mac[i] = (uint8_t)strtoul(at, &end, 16);
		if (*end != (i + 1 < sizeof(o->mac) ? ':' : '\0'))
			return bad("not an address", s);
		at = end + 1;
	}
	o->has_mac = 1;
	return (o->mac[0] & 1) != 0 ? bad("the address of a group", s) : 0;
}

static int read_socket(struct net_options *o, const char *s)
{
	if (o->nsockets == NET_SOCKETS)
		return bad("too many", "--socket");
	for (unsigned i = 0; i < o->nsockets; i++) {
		if (strcmp(o->sockets[i], s) == 0)
			return bad("the same socket twice", s);
	}
	o->sockets[o->nsockets++] = s;
	return 0;
}

static int take_option(void *options, int c)
{
	struct net_options *o = options;
	uint64_t n = 0;
	int rc = 0;

	switch (c) {
	case 's':
		return read_socket(o, optarg);
	case 'n':
		return read_net(o, optarg);
	case 'c':
		if (o->npcaps == NET_SOCKETS)
			return bad("too many", "--pcap");
		o->pcaps[o->npcaps++] = optarg;
		return 0;
	case 'q':
		rc = read_whole(optarg, 1, NET_PAIRS, &n);
		o->pairs = (unsigned)n;
		return rc < 0 ? bad("not a number of queue pairs from 1 to 64", optarg) : 0;
	case 'a':
		return read_mac(o, optarg);
	case 'm':
		rc = read_whole(optarg, MIN_MTU, UINT16_MAX, &n);
		o->mtu = (uint16_t)n;
		return rc < 0 ? bad("not an MTU from 68 to 65535", optarg) : 0;
	case 't':
		rc = read_whole(optarg, 1, NET_THREADS, &n);
		o->threads = (unsigned)n;
		return rc < 0 ? bad("not a number of threads from 1 to 64", optarg) : 0;
	case 'p':
		o->poll = 1;
		return 0;
	case 'u':
		rc = read_whole(optarg, 0, 1000, &n);
		o->spin_us = (uint32_t)n;
		return rc < 0 ? bad("not a time from 0 to 1000 microseconds", optarg) : 0;
	}
	return 0;
}

const struct net_spec *net_options_net(const struct net_options *o, unsigned socket)
{
	return &o->nets[o->nnets == 1 ? 0 : socket];
}

/* What fits together. */
static int check(const struct net_options *o)
{
	if (o->nsockets == 0)
		return bad("missing option", "--socket");
	if (o->nnets == 0)
		return bad("missing option", "--net");
	if (o->nnets != 1 && o->nnets != o->nsockets)
		return bad("--net", "one for all sockets, or one for each");
	if (o->npcaps > o->nsockets)
		return bad("--pcap", "more than there are sockets");
	for (unsigned i = 0; i < o->nsockets; i++) {
		if (net_options_net(o, i)->kind != NET_PAIR)
			continue;
		i++;
		if (i == o->nsockets || net_options_net(o, i)->kind != NET_PAIR)
			return bad("a pair with one end", o->sockets[i - 1]);
	}
	return 0;
}

int net_options_read(struct net_options *o, int argc, char **argv)
{
	static const struct option known[] = {{"socket", required_argument, NULL, 's'},
	                                      {"net", required_argument, NULL, 'n'},
	                                      {"pcap", required_argument, NULL, 'c'},
	                                      {"queues", required_argument, NULL, 'q'},
	                                      {"mac", required_argument, NULL, 'a'},
	                                      {"mtu", required_argument, NULL, 'm'},
	                                      {"threads", required_argument, NULL, 't'},
	                                      {"poll", no_argument, NULL, 'p'},
	                                      {"spin", required_argument, NULL, 'u'},
	                                      {"help", no_argument, NULL, 'h'},
	                                      {NULL, 0, NULL, 0}};
	static const struct command_line line = {
		.program = "vhost-user-net", .usage = usage, .known = known, .take = take_option};
	int rc;

	*o = (struct net_options){.pairs = 1, .spin_us = SPIN_US};
	rc = command_line_read(&line, o, argc, argv);
	if (rc != 0)
		return rc;
	return check(o);
}
