"""Values of the backup domain: objects and attributes, policy, pools and volumes, virtual volumes, message ids."""
