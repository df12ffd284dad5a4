#!/usr/bin/env bash
# A Slurm of two hosts, n1 and n2, in namespaces that end with this process.
#
# To be the first process of mount, network, pid and uts namespaces of its own, with a
# folder that holds slurm.conf; says `ready` and ends with its standard input. What it
# mounts, names and starts is seen from within alone.
set -euo pipefail
folder=$1
hostname head
mount -t proc proc /proc
mount -t tmpfs tmpfs /run  # `ip netns` keeps its names there
printf '127.0.0.1 localhost\n10.99.0.1 head\n10.99.0.11 n1\n10.99.0.12 n2\n' \
    > "$folder/hosts"
mount --bind "$folder/hosts" /etc/hosts
ip link set lo up
ip link add bridge type bridge
ip address add 10.99.0.1/24 dev bridge
ip link set bridge up
for number in 1 2; do
  ip netns add "n$number"
  ip link add "n$number" type veth peer name eth0 netns "n$number"
  ip link set "n$number" master bridge up
  ip -n "n$number" address add "10.99.0.1$number/24" dev eth0
  ip -n "n$number" link set eth0 up
  ip -n "n$number" link set lo up
done

mkdir -p "$folder/log" "$folder/state"
dd if=/dev/urandom of="$folder/munge.key" bs=32 count=1 status=none
chmod 400 "$folder/munge.key"
munged --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" \
    --pid-file="$folder/munged.pid" --log-file="$folder/log/munged" \
    --seed-file="$folder/munge.seed"
export SLURM_CONF=$folder/slurm.conf
slurmctld -D > /dev/null 2>&1 &
for number in 1 2; do
  # Not `ip netns exec`, which hides the mount of cgroups from slurmd.
  nsenter --net="/run/netns/n$number" unshare --uts bash -c \
      'hostname "$0" && exec slurmd -D -N "$0"' "n$number" > /dev/null 2>&1 &
done
until [[ $(sinfo --noheader --format=%T 2> /dev/null) == idle ]]; do sleep 0.1; done
echo ready
cat > /dev/null
