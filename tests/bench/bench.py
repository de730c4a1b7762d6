#!/usr/bin/env python3
"""Benchmarks of the whole program against named peers; see README.md beside this file."""
import bench_guest
import bench_image
import bench_mdm
import bench_profile
import bench_program
import bench_snapshot
import bench_vz
from common import run_all

run_all([bench_program.start_version, bench_program.start_list, bench_program.tests_10000,
         bench_program.rss, bench_profile.profile_lint, bench_guest.first_command, bench_guest.guest_session,
         bench_guest.agent_session, bench_guest.shares, bench_image.clone_20GiB,
         bench_snapshot.snapshots, bench_snapshot.snapshot_peers, bench_mdm.mdm_guest,
         bench_mdm.mdm_crowd, bench_vz.vz_helper, bench_image.image_build])
