//! The attacks of classes 1 to 5, 19, 20 and 21 once more, on containers that `dhow runtime` makes: the engine calls it as it would call any
//! other runtime.

use dhow_tests::engine::by_the_runtime;

macro_rules! attacks {
    ($($module:ident::$name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                by_the_runtime(super::$module::$name);
            }
        )*
    };
}

attacks! {
    class01_binary::class01_cve_2019_5736_the_binary_is_out_of_reach,
    class01_binary::class01_cve_2019_5736_an_image_that_runs_proc_self_exe,
    class02_descriptors::class02_cve_2024_21626_workdir_names_a_descriptor,
    class02_descriptors::class02_cve_2024_21626_exec_in_a_descriptor,
    class02_descriptors::class02_every_descriptor_is_closed,
    class02_descriptors::class02_a_symlink_as_workdir_stays_inside,
    class03_symlink_race::class03_cve_2021_30465_a_shared_directory_is_swapped_during_a_start,
    class03_symlink_race::class03_cve_2019_19921_proc_and_targets_behind_links,
    class04_devices::class04_cve_2026_47766_an_image_ships_dev_as_a_link,
    class04_devices::class04_cve_2025_31133_dev_null_is_something_else,
    class04_devices::class04_cve_2025_52565_the_console_is_a_link,
    class04_devices::class04_cve_2026_41579_masks_hold_where_the_image_plants_links,
    class05_proc::class05_cve_2019_16884_an_image_brings_its_own_proc,
    class05_proc::class05_cve_2025_52881_sysctls_go_where_they_belong,
    class05_proc::class05_a_volume_over_proc_is_refused_or_harmless,
    class19_users::class19_cve_2022_24769_nothing_is_inheritable,
    class19_users::class19_cve_2023_25173_supplementary_groups,
    class19_users::class19_cve_2024_40635_numbers_that_overflow,
    class19_users::class19_cve_2026_30892_exec_user,
    class20_cgroups::class20_the_namespace_is_private_on_v1_too,
    class20_cgroups::class20_cve_2022_0492_release_agent,
    class20_cgroups::class20_cgroup_mounts_are_read_only,
    class21_kernel_surface::class21_every_dangerous_call_is_refused,
    class21_kernel_surface::class21_the_filter_itself_refuses,
    class21_kernel_surface::class21_capabilities_open_what_they_should,
    class21_kernel_surface::class21_cve_2026_31431_socket_families,
}
