"""Values of the backup domain: objects and their attributes, policy, pools and volumes, virtual volumes, message ids."""
