Feature: A fence device that can't be relied upon
  Background:
    Given a cluster of three machines with servers on each of them

  Scenario: The device is absent
    Given the fence device is absent
    When a machine that runs servers loses power
    Then none of its servers is started elsewhere, and its page says that it can't be fenced
    When the fence device works again
    Then its servers answer on their floating IPs from other machines within 60 seconds

  Scenario: The device hangs
    Given the fence device hangs
    When a machine that runs servers loses power
    Then none of its servers is started elsewhere, and its page says that it can't be fenced
    When the fence device works again
    Then its servers answer on their floating IPs from other machines within 90 seconds

  Scenario: The device says "ok" while the machine lives
    Given the fence device says ok and does nothing
    When a machine that runs servers loses its management cable
    Then no server runs on two machines
