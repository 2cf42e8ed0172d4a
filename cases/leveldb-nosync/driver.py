from level_store import drive_level

drive_level(sync=False)
